export async function ensureComposeImages(): Promise<string> {
  return 'to come';
}
