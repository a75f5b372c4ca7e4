import type { ShardSource } from '../../model/recovery/shard-recovery.ts';
import { encodeCommand } from '../redis/protocol.ts';

/**
 * Moves every time to live on by what has passed since a moment: of keys, and of fields of hashes where the server knows such. Fields are looked at in small steps: a hash may have very many. Nothing
 * is added or removed meanwhile, so SCAN meets each key once.
 */
const SHIFT = `local now = redis.call('TIME')
local by = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(ARGV[1])
local function text(ms) return string.format('%.0f', ms) end
local fields_end = type(redis.call('COMMAND', 'INFO', 'HPEXPIRETIME')[1]) == 'table'
local function shift_fields(key)
  local fields = redis.call('HKEYS', key)
  for first = 1, #fields, 500 do
    local last = math.min(first + 499, #fields)
    local ends = redis.call('HPEXPIRETIME', key, 'FIELDS', last - first + 1, unpack(fields, first, last))
    for i, at in ipairs(ends) do
      if at > 0 then redis.call('HPEXPIREAT', key, text(at + by), 'FIELDS', 1, fields[first + i - 1]) end
    end
  end
end
for db in string.gmatch(redis.call('INFO', 'keyspace'), 'db(%d+):') do
  redis.call('SELECT', db)
  local cursor = '0'
  repeat
    local page = redis.call('SCAN', cursor, 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      local at = redis.call('PEXPIRETIME', key)
      if at > 0 then redis.call('PEXPIREAT', key, text(at + by)) end
      if fields_end and redis.call('TYPE', key).ok == 'hash' and redis.call('OBJECT', 'ENCODING', key) ~= 'listpack' then shift_fields(key) end
    end
  until cursor == '0'
end`;

/**
 * A last command for an append-only file, after which every key has as much time left as it had at the moment of the data. While a server loads it lets no key expire, so that those whose time has passed
 * since are there. Scripts go by the rights of the default user then (`defaultRules`). It takes the time of the load: a server that loads the same file again moves it on once more, so the file is to be written anew before it is used.
 */
export const shiftingCommand = ({ base, until }: Pick<ShardSource, 'base' | 'until'>): Buffer =>
  Buffer.from(encodeCommand(['EVAL', SHIFT, 0, until?.atMs ?? Date.parse(base.startedAt)]));
