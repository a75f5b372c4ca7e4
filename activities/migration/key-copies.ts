import { encodeText, listItems, type RawList } from '../redis/protocol.ts';

/** Keys as they were a moment before they were sent: of each its name, when it expires (ms since 1970; 0: never), and what DUMP makes of it. */
export type KeyCopies = RawList;

/** A key that is gone already is left out. It declares no keys: their names come as arguments, in the encoding in which the server gave them. */
const COPY = `
local copies, last = {}, 0
for i = 1, #ARGV do
  local dump = redis.pcall('DUMP', ARGV[i])
  if type(dump) == 'string' then
    local ends = redis.pcall('PEXPIRETIME', ARGV[i])
    copies[last + 1], copies[last + 2], copies[last + 3] = ARGV[i], string.format('%.0f', math.max(0, type(ends) == 'number' and ends or 0)), dump
    last = last + 3
  end
end
return copies`;

/** The command that copies keys, but for their names, which follow. */
export const copyHead = (keys: number): string => `*${3 + keys}\r\n${['EVAL_RO', COPY, '0'].map(encodeText).join('')}`;

export interface KeyCopy {
  readonly name: Buffer;
  readonly expiresAt: string;
  readonly dump: Buffer;
}

/** The keys of a list, one by one. */
export function copiesOf(list: KeyCopies): readonly KeyCopy[] {
  const items = listItems(list);
  return Array.from({ length: items.length / 3 }, (_, i) => {
    const [name, expiresAt, dump] = items.slice(3 * i, 3 * i + 3);
    return { name: name ?? Buffer.alloc(0), expiresAt: String(expiresAt), dump: dump ?? Buffer.alloc(0) };
  });
}
