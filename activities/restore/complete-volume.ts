import { isDeepStrictEqual } from 'node:util';
import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { nodePaths } from '../../config/names.ts';
import { runInContainer } from '../docker/containers.ts';
import { markOf, type WholeData } from '../docker/node-data.ts';
import { type NodeFile, putIntoNode } from '../docker/node-files.ts';
import { passing } from '../support/failure.ts';
import { refuseWhenCancelled } from '../support/until.ts';
import { NAME, WRITES } from './append-only.ts';
import { pieceName, requirePrepared, type SpreadTarget } from './spread-shard.ts';

export interface CompleteRequest extends Pick<SpreadTarget, 'name' | 'container'> {
  readonly clusterId: string;
  readonly id: string;
  /** Of each shard that had keys for it. */
  readonly shares: readonly { readonly shard: number; readonly attempt: number; readonly files: number }[];
  readonly whole: WholeData;
}

/** A node's server finds all of the pieces when it starts, in an append-only directory, and no more than these. */
export async function completeVolume({ docker }: { readonly docker: Docker }, request: CompleteRequest): Promise<void> {
  const { container, clusterId, id, shares, whole } = request;
  const mark = await requirePrepared(docker, request, clusterId, id);
  if (isDeepStrictEqual(mark.whole, whole)) return; // an earlier attempt did it
  const pieces = shares.flatMap(({ shard, attempt, files }) => Array.from({ length: files }, (_, i) => pieceName(shard, attempt, i + 1)));
  // The last one is what the server goes on with. And an empty list is an error for it, where none is not.
  const files = pieces.length === 0 ? [] : [...pieces, WRITES];
  const text = files.map((file, i) => `file ${file} seq ${i + 1} type i\n`).join('');
  const list = files.length === 0 ? [] : [fileIn(WRITES, ''), fileIn(`${NAME}.manifest`, text)];
  refuseWhenCancelled();
  await putIntoNode(docker, container, [...list, markOf({ id, whole })], [nodePaths.db, nodePaths.appendOnly]);
}

const fileIn = (name: string, text: string): NodeFile => ({ path: `${nodePaths.appendOnly}/${name}`, text });

/** Pieces that no list names. */
const TIDY = `cd "$1" && for piece in spread.*; do [ ! -e "$piece" ] || grep -qF "file $piece " *.manifest || rm -f "$piece"; done && echo tidy`;

/** The node, which runs, has no piece that an attempt left which was given up. */
export async function removeStrayPieces(docker: Docker, name: string): Promise<void> {
  const said = await runInContainer(docker, name, ['sh', '-c', TIDY, 'sh', nodePaths.appendOnly]);
  if (said?.trim() !== 'tidy')
    throw passing(failures.engineRefused, `${name} does not remove what is left over: ${said ?? 'it does not run'}`);
}
