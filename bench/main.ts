import { benchArchive } from './archive.ts';
import { benchBackup } from './backup.ts';
import { benchPlanner } from './planner.ts';
import { benchProvision } from './provision.ts';
import { benchRebalance } from './rebalance.ts';
import { benchRestore } from './restore.ts';
import { benchRotate } from './rotate.ts';

const benches: Readonly<Record<string, () => Promise<void>>> = {
  provision: benchProvision,
  planner: benchPlanner,
  rebalance: benchRebalance,
  archive: benchArchive,
  rotate: benchRotate,
  backup: benchBackup,
  restore: benchRestore,
};
const name = process.argv[2] ?? '';
const bench = benches[name];
if (bench === undefined) {
  console.error(`npm run bench -- <${Object.keys(benches).join('|')}>`);
  process.exitCode = 2;
} else {
  await bench();
}
