/** Reads an option and takes it out of the environment: a worker refuses to start with a HOLDFAST_ variable that it does not know. */
export function takeOption(name: string): string | undefined {
  const value = process.env[name];
  delete process.env[name];
  return value;
}

/** A whole number above 0. */
export function wholeNumber(name: string, otherwise: number): number {
  const value = Number(takeOption(name) ?? otherwise);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${name} is a whole number above 0`);
  return value;
}
