/** The part that is held of something that goes by, and a place in it. */
export class Window {
  /** What is held: `held[0]` to `held[end - 1]`. */
  held: Buffer = Buffer.allocUnsafe(256 * 1024);
  end = 0;
  /** May stand behind what is here. */
  at = 0;
  /** Where in the whole `held[0]` stands. */
  base = 0;

  /** Takes a chunk in, and lets go of what stands before `from`. */
  add(chunk: Uint8Array, from: number): void {
    const kept = Math.min(from, this.end);
    if (this.end - kept + chunk.length > this.held.length) {
      const larger = Buffer.allocUnsafe(2 ** Math.ceil(Math.log2(this.end - kept + chunk.length)));
      this.held.copy(larger, 0, kept, this.end);
      this.held = larger;
    } else this.held.copyWithin(0, kept, this.end);
    this.held.set(chunk, this.end - kept);
    this.end += chunk.length - kept;
    this.at -= kept;
    this.base += kept;
  }
}
