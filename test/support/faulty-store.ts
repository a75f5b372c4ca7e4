import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/**
 * What becomes of a request: an answer with this status and without looking at it; `silence`, until the fault is taken away; `late`: as silence, but it is done then also when whoever sent it is gone;
 * `unanswered`: it is done, and nobody is told.
 */
export type Fault = { readonly status: number } | 'silence' | 'late' | 'unanswered';

/** A store that fails on demand: what stands in front of a real one, and passes everything on but what it is told to spoil. */
export interface FaultyStore {
  readonly endpoint: string;
  /** Chooses what becomes of each request from now on; undefined passes it on. */
  spoil(choose: (method: string, url: string) => Fault | undefined): void;
  /** Passes everything on again, also what waits in silence. */
  mend(): void;
  /** Requests that were spoilt since the last `spoil`. */
  readonly spoilt: number;
  close(): void;
}

/** @param to the real one's endpoint */
export async function startFaultyStore(to: string): Promise<FaultyStore> {
  const real = new URL(to);
  let choose: ((method: string, url: string) => Fault | undefined) | undefined;
  let spoilt = 0;
  const silent = new Set<() => void>();
  const late = new Set<() => void>();

  // The head as it came: the signature covers the host's name.
  const ask = ({ method, url, headers }: IncomingMessage, onAnswer: (got: IncomingMessage) => void) =>
    request({ host: real.hostname, port: real.port, method, path: url, headers }, onAnswer);

  function pass(from: IncomingMessage, answer: ServerResponse): void {
    const onward = ask(from, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers);
      got.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    from.pipe(onward);
  }

  /** Whether or not somebody waits for the answer. */
  async function passAlone(from: IncomingMessage, body: Promise<Buffer>): Promise<void> {
    const onward = ask(from, (got) => void got.resume());
    onward.on('error', () => undefined);
    onward.end(await body);
  }

  const server = createServer((from, answer) => {
    const fault = choose?.(from.method ?? '', from.url ?? '');
    if (fault === undefined) return pass(from, answer);
    spoilt++;
    if (fault === 'late' || fault === 'unanswered') {
      const body = buffer(from);
      body.catch(() => undefined); // it was never whole
      if (fault === 'unanswered') void passAlone(from, body);
      else late.add(() => void passAlone(from, body));
      return;
    }
    if (fault === 'silence') {
      const goOn = () => pass(from, answer);
      silent.add(goOn);
      answer.once('close', () => silent.delete(goOn));
      return;
    }
    from.resume();
    from.once('end', () => answer.writeHead(fault.status).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spoil(chosen) {
      spoilt = 0;
      choose = chosen;
    },
    mend() {
      choose = undefined;
      for (const goOn of [...silent, ...late]) goOn();
      silent.clear();
      late.clear();
    },
    get spoilt() {
      return spoilt;
    },
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A part of an upload. */
export const isPart = (method: string, url: string): boolean => method === 'PUT' && url.includes('partNumber=');
