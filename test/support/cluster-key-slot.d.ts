declare module 'cluster-key-slot' {
  /** The slot of a key: CRC16 of its hash tag, modulo 16384. */
  function calculateSlot(key: string | Buffer): number;
  export = calculateSlot;
}
