/** IPv4 arithmetic for cluster networks. */
interface Block {
  readonly base: number;
  readonly prefix: number;
}

const toNumber = (address: string): number => address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
const toAddress = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
const size = (prefix: number): number => 2 ** (32 - prefix);

function parseBlock(cidr: string): Block {
  const [address = '', prefix = '32'] = cidr.split('/');
  const width = size(Number(prefix));
  return { base: Math.floor(toNumber(address) / width) * width, prefix: Number(prefix) };
}

const overlap = (a: Block, b: Block): boolean => a.base < b.base + size(b.prefix) && b.base < a.base + size(a.prefix);

export const subnetsOverlap = (a: string, b: string): boolean => overlap(parseBlock(a), parseBlock(b));

/** The address at an offset of a subnet: `addressAt('10.213.0.0/24', 1)` is its gateway. */
export const addressAt = (subnet: string, offset: number): string => toAddress(parseBlock(subnet).base + offset);

/** Offsets that can be given to nodes: neither the network's nor the gateway's nor the broadcast address. */
export const usableOffsets = (subnet: string): number => size(parseBlock(subnet).prefix) - 2;

/**
 * Subnets of the pool that overlap with none of those taken, lowest first.
 * @param prefix length of the subnets wanted, at least the pool's own.
 */
export function* freeSubnets(pool: string, prefix: number, taken: readonly string[]): Generator<string> {
  const whole = parseBlock(pool);
  const used = taken.map(parseBlock);
  // A subnet larger than the pool would reach beyond it: there is none.
  for (let base = whole.base; base + size(prefix) <= whole.base + size(whole.prefix); base += size(prefix)) {
    const candidate = { base, prefix };
    if (!used.some((block) => overlap(block, candidate))) yield `${toAddress(base)}/${prefix}`;
  }
}
