import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { nodePaths } from '../../config/names.ts';
import type { Unfinished } from '../../model/observation.ts';
import { fatal } from '../support/failure.ts';
import { putIntoNode, readFromNode } from './node-files.ts';

/**
 * What the data is that a node is made with. It lies in the volume before the first byte of the data does, so that no server ever starts on half of it, whoever starts it.
 */
export interface DataMark {
  /** Tells the data from any other. */
  readonly id: string;
  readonly whole?: WholeData;
}

/** All of it is there: so many bytes, up to that moment. */
export interface WholeData {
  /** Of all files together. */
  readonly bytes: number;
  /** The last moment that is in it for certain, ms since 1970; missing for a base alone. */
  readonly reachedMs?: number;
  /** Keys and function libraries, where that does not stand in a manifest. */
  readonly holds?: { readonly keys: number; readonly functions: number };
}

export async function readMark(docker: Docker, container: string): Promise<DataMark | undefined> {
  const text = await readFromNode(docker, container, nodePaths.restore);
  return text === undefined ? undefined : (JSON.parse(text) as DataMark);
}

export const markOf = (mark: DataMark) => ({ path: nodePaths.restore, text: `${JSON.stringify(mark)}\n` });

export const putMark = (docker: Docker, container: string, mark: DataMark): Promise<void> =>
  putIntoNode(docker, container, [markOf(mark)], [nodePaths.conf]);

/** What a restore in place that was terminated has left on these nodes. One that keeps its data is enough: by then all had theirs. */
export async function readUnfinished(docker: Docker, nodes: readonly string[]): Promise<Unfinished | undefined> {
  const texts = await Promise.all(nodes.map((node) => readFromNode(docker, node, nodePaths.replacing)));
  const found = texts.flatMap((text) => (text === undefined ? [] : [JSON.parse(text) as Unfinished]));
  return found.find(({ committed }) => committed === true) ?? found[0];
}

/** A node starts with the data that it is meant to have, or with none when it is meant to have none. @throws PlanRefused */
export async function requireWhole(docker: Docker, node: string, wanted: string | undefined): Promise<void> {
  const mark = await readMark(docker, node);
  if (mark === undefined && wanted === undefined) return;
  if (mark !== undefined && mark.id === wanted && mark.whole !== undefined) return;
  const found =
    mark === undefined
      ? 'no data that was brought back'
      : mark.whole
        ? 'data that another restore brought back'
        : 'half of the data of a restore that never ended';
  throw fatal(
    failures.refused,
    `the volume of ${node} holds ${found}, so its server is not started: run the restore again, or remove what it left with holdfast deprovision`,
  );
}
