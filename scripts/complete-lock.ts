import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Completes package-lock.json after an `npm install` against a registry that lacks some packages of other platforms (a mirror often does).
 * npm then leaves those out of the lock without a word, and `npm ci` refuses the lock everywhere. They come back as npm itself writes them,
 * but for the digest: npm installs them on their platform only, and skips them elsewhere without asking the registry.
 */
interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

interface Lock {
  packages: Record<string, LockedPackage>;
}

const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const CPUS = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];
const LIBCS: Readonly<Record<string, string>> = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl' };

const file = process.argv[2] ?? 'package-lock.json';
const lock = JSON.parse(readFileSync(file, 'utf8')) as Lock;
const added: string[] = [];

for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    const words = name.split(/[-/]/);
    const os = words.filter((word) => SYSTEMS.includes(word));
    const cpu = words.filter((word) => CPUS.includes(word));
    // Anything else than one exact version for one platform is npm's own business.
    if (Object.keys(lock.packages).some((key) => key.endsWith(path)) || os.length !== 1 || cpu.length !== 1 || !/^\d/.test(version))
      continue;
    const libc = words.flatMap((word) => LIBCS[word] ?? []).slice(0, 1);
    lock.packages[path] = { version, cpu, ...(parent.dev ? { dev: true } : {}), ...(libc.length > 0 ? { libc } : {}), optional: true, os };
    added.push(`${name} ${version}`);
  }
}

if (added.length > 0) {
  const { '': root = {}, ...others } = lock.packages;
  lock.packages = { '': root, ...Object.fromEntries(Object.entries(others).sort(([a], [b]) => a.localeCompare(b, 'en'))) };
  writeFileSync(file, `${JSON.stringify(lock, undefined, 2)}\n`);
}
console.log(added.length === 0 ? `${file} is complete` : `${file}: added ${added.join(', ')}`);
