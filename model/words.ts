/** `1 replica`, `2 replicas`. */
export const count = (number: number, thing: string): string => `${number} ${thing}${number === 1 ? '' : 's'}`;

/** Bytes as the nearest whole MiB. */
export const mib = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;

/** Bytes as the next whole MiB: what is there is never none. */
export const mibUp = (bytes: number): string => `${Math.ceil(bytes / 1024 ** 2)} MiB`;
