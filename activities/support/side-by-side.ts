/** Works on all of them, so many at a time, and answers in their order. The first that fails ends it: none is begun after that, and none is left running. */
export async function sideBySide<T, R>(items: readonly T[], atOnce: number, work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  const problems: unknown[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (problems.length === 0 && next < items.length) {
      const at = next++;
      try {
        results[at] = await work(items[at] as T);
      } catch (error) {
        problems.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane));
  if (problems.length > 0) throw problems[0];
  return results;
}
