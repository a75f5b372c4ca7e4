// Opens a sealed object of Holdfast with the master key, without Holdfast: docs/backup-format.md in code. Needs Node 22.15 or later, nothing else.
//
//   node open-sealed.mjs master.key keys/orders/000001-….….sealed backups/orders/…/shard-0.….rdb.sealed > shard-0.rdb
//
// The second file is the copy of the key that the header of the third one names (`head -n 1`). Its last three path parts must be as in the bucket.
// What is written to the output is only good when this ends with exit code 0.
import { createDecipheriv, createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';

const [masterKeyFile, keyFile, sealedFile] = process.argv.slice(2);
const stop = (why) => {
  console.error(`error: ${why}`);
  process.exit(1);
};

/** AES-256-GCM: checks the tag, gives the plain bytes. */
function decrypt(key, nonce, associated, ciphertext, tag, what) {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 }).setAAD(associated).setAuthTag(tag);
  const plain = decipher.update(ciphertext);
  try {
    decipher.final();
  } catch {
    stop(`${what} does not open: wrong key, or altered`);
  }
  return plain;
}

/** A box: nonce (12 bytes), ciphertext, tag (16 bytes). */
function unbox(key, base64, associated, what) {
  const box = Buffer.from(base64, 'base64');
  return decrypt(key, box.subarray(0, 12), Buffer.from(associated), box.subarray(12, -16), box.subarray(-16), what);
}

const bytes = createReadStream(sealedFile, { highWaterMark: 1024 * 1024 })[Symbol.asyncIterator]();
let held = Buffer.alloc(0);

/** The next bytes of the sealed object; fewer at its end. */
async function take(count) {
  while (held.length < count) {
    const { done, value } = await bytes.next();
    if (done) break;
    held = Buffer.concat([held, value]);
  }
  const taken = held.subarray(0, count);
  held = held.subarray(count);
  return taken;
}

// 1. The header's line.
let line = '';
do line += (await take(1)).toString('latin1');
while (!line.endsWith('\n') && line.length < 4096);
const start = line.slice(0, line.lastIndexOf(' '));
if (!start.startsWith('holdfast-sealed-1 {')) stop('this is no sealed object of format 1');
const header = JSON.parse(Buffer.from(start, 'latin1').toString().slice('holdfast-sealed-1 '.length));

// 2. The key-encryption key, out of its envelope.
const masterKeys =
  readFileSync(masterKeyFile, 'utf8')
    .match(/[^\s,]+/g)
    ?.map((text) => Buffer.from(text, 'base64')) ?? [];
const keyName = keyFile.split('/').slice(-3).join('/');
const envelope = JSON.parse(readFileSync(keyFile, 'utf8'));
if (!keyName.includes(`/${header.kek}.`)) stop(`this object needs the key ${header.kek}`);
const idOf = (key) => createHash('sha256').update(key).digest('hex').slice(0, 16);
const masterKey = masterKeys.find((key) => idOf(key) === envelope.masterKeyId);
if (masterKey === undefined)
  stop(`this key is sealed under master key ${envelope.masterKeyId}, not under ${masterKeys.map(idOf).join(' or ')}`);
const envelopeKey = unbox(masterKey, envelope.wrappedKey, `wrap:${keyName}`, 'the key of the envelope');
const kek = unbox(envelopeKey, envelope.sealed, `data:${keyName}`, 'the envelope');

// 3. The object's own key.
const dataKey = unbox(kek, line.slice(start.length + 1, -1), Buffer.from(start, 'latin1'), 'the header');
const headerSha256 = createHash('sha256').update(Buffer.from(line, 'latin1')).digest();

// 4. The frames.
async function* frames() {
  for (let index = 0, last = false; !last; index++) {
    const head = await take(5);
    if (head.length < 5) stop(`frame ${index} is missing`);
    last = head[0] === 1;
    const length = head.readUInt32BE(1);
    if (length > header.frameBytes) stop(`frame ${index} is too long`);
    const body = await take(length + 16);
    if (body.length < length + 16) stop(`frame ${index} is cut short`);
    const number = Buffer.alloc(4);
    number.writeUInt32BE(index);
    const nonce = Buffer.concat([Buffer.alloc(7), number, head.subarray(0, 1)]);
    yield decrypt(dataKey, nonce, Buffer.concat([headerSha256, number]), body.subarray(0, length), body.subarray(length), `frame ${index}`);
  }
  if ((await take(1)).length > 0) stop('bytes follow the last frame');
}

// 5. Out with it. Each frame was checked before it gets here.
if (header.compression === 'zstd') await pipeline(frames, createZstdDecompress(), process.stdout);
else await pipeline(frames, process.stdout);
