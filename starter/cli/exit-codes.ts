/** What the process ends with. Scripts rely on these: a number never changes its meaning. `holdfast --help` lists them. */
export const exitCodes = {
  ok: 0,
  /** The operation failed, was cancelled, or something unforeseen happened. */
  failed: 1,
  /** Wrong command line, spec, input or settings. Nothing was started. */
  usage: 2,
  /** `status`: the cluster is degraded or down. */
  unhealthy: 3,
  /** Another operation works on the cluster. */
  busy: 4,
  /** No such cluster or operation. */
  notFound: 5,
  /** Temporal, a worker, the engine or the object store cannot be reached. */
  unreachable: 6,
  /** The plan cannot be done as asked, or a person said no. Nothing was changed. */
  refused: 7,
  /** Ctrl-C. What was started goes on. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitCodesHelp = `Exit codes:
  0    done
  1    the operation failed or was cancelled
  2    wrong command line, spec or settings; nothing was started
  3    status: the cluster is not healthy
  4    another operation works on the cluster
  5    no such cluster or operation
  6    Temporal, a worker, the engine or the object store cannot be reached
  7    refused: the plan cannot be done, or a person said no
  130  interrupted; a running operation goes on`;
