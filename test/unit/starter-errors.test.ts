import { ActivityFailure, ApplicationFailure, CancelledFailure, TerminatedFailure, WorkflowFailedError } from '@temporalio/client';
import { TimeoutFailure } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { failures } from '../../config/failures.ts';
import { exitCodes } from '../../starter/cli/exit-codes.ts';
import { CliError, exitCodeOf, explainError } from '../../starter/cli/explain-error.ts';
import { InvalidInput, NoWorker, OperationFailed, OperationNotFound, TemporalUnreachable } from '../../starter/client/errors.ts';
import { checkInput } from '../../starter/client/operation-starter.ts';
import { operationFailure, translate } from '../../starter/client/translate-errors.ts';

const id = 'cluster/demo/provision/1';
const target = { address: 'temporal:7233', namespace: 'default', workflowId: id };
const ended = (cause: Error) => operationFailure(new WorkflowFailedError('Workflow execution failed', cause, 'NON_RETRYABLE_FAILURE'), id);
const inActivity = (cause: Error) =>
  new ActivityFailure('Activity task failed', 'ensureNode', '1', 'NON_RETRYABLE_FAILURE', 'worker', cause);

describe('how an operation ended', () => {
  test('a failure of ours keeps its type, message and details', () => {
    const failure = ended(ApplicationFailure.nonRetryable('demo is busy', failures.clusterBusy, { holder: 'x' }));
    expect(failure).toMatchObject({ type: 'ClusterBusy', message: 'demo is busy', workflowId: id, details: [{ holder: 'x' }] });
  });

  test('a failure of ours is found within that of the activity that threw it', () => {
    expect(ended(inActivity(ApplicationFailure.nonRetryable('no room', failures.hostFull))).type).toBe('HostFull');
  });

  test('a failure of ours wins over the library failure that caused it', () => {
    const cause = new ApplicationFailure('ECONNREFUSED', 'Error');
    const failure = ended(new ApplicationFailure('no engine', failures.hostUnreachable, true, [], cause));
    expect(failure).toMatchObject({ type: 'HostUnreachable', message: 'no engine' });
  });

  test('a failure that nobody named is told with its own message', () => {
    expect(ended(inActivity(new ApplicationFailure('boom', 'TypeError')))).toMatchObject({ type: 'Unknown', message: 'boom' });
  });

  test.each([
    ['Cancelled', new CancelledFailure('cancelled')],
    ['Cancelled', inActivity(new CancelledFailure('cancelled'))],
    ['Terminated', new TerminatedFailure('Workflow execution terminated')],
    ['TimedOut', new TimeoutFailure('timed out', undefined, 'START_TO_CLOSE')],
  ])('%s is told apart', (type, cause) => {
    expect(ended(cause).type).toBe(type);
  });
});

describe('calls to Temporal', () => {
  const grpc = (code: number, details: string) => Object.assign(new Error(`${code} ${details}`), { code, details, metadata: {} });

  test('a Temporal that does not answer is named with what to do', () => {
    const error = translate(grpc(14, 'No connection established'), target);
    expect(error).toBeInstanceOf(TemporalUnreachable);
    expect(String(error)).toMatch(/temporal:7233.*holdfast doctor/s);
  });

  test('a worker that was not seen lately is told apart from a Temporal that is gone', () => {
    expect(translate(grpc(9, 'no poller seen for task queue recently, worker may be down'), target)).toBeInstanceOf(NoWorker);
  });

  test('an error that nobody knows passes as it is', () => {
    const error = new RangeError('?');
    expect(translate(error, target)).toBe(error);
  });
});

describe('inputs', () => {
  test('the cluster is found in a spec and beside one', () => {
    expect(checkInput('provision', { spec: { name: 'demo', engine: 'valkey', version: '9.1' } })).toBe('demo');
    expect(checkInput('deprovision', { cluster: 'demo', confirm: 'demo' })).toBe('demo');
  });

  test('an input that cannot be used is refused before it goes out, with every reason', () => {
    expect(() => checkInput('provision', { spec: { name: 'demo', engine: 'valky', version: '9.1' }, dryrun: true })).toThrow(InvalidInput);
    expect(() => checkInput('provision', { spec: { name: 'demo', engine: 'valky', version: '9.1' }, dryrun: true })).toThrow(
      /dryrun[\s\S]*spec\.engine/,
    );
  });
});

describe('exit codes', () => {
  test.each([
    [new CliError('no'), exitCodes.usage],
    [new OperationFailed('ClusterBusy', '', id, []), exitCodes.busy],
    [new OperationFailed('ClusterNotFound', '', id, []), exitCodes.notFound],
    [new OperationFailed('PlanRefused', '', id, []), exitCodes.refused],
    [new OperationFailed('Rejected', '', id, []), exitCodes.refused],
    [new OperationFailed('InvalidInput', '', id, []), exitCodes.usage],
    [new OperationFailed('VerificationFailed', '', id, []), exitCodes.failed],
    [new OperationFailed('WriteLost', '', id, []), exitCodes.failed],
    [new OperationFailed('SlotConflict', '', id, []), exitCodes.failed],
    [new OperationFailed('NodeAway', '', id, []), exitCodes.failed],
    [new OperationFailed('MigrationFailed', '', id, []), exitCodes.failed],
    [new OperationFailed('Cancelled', '', id, []), exitCodes.failed],
    [new OperationFailed('StoreUnreachable', '', id, []), exitCodes.unreachable],
    [new OperationFailed('SecretMissing', '', id, []), exitCodes.failed],
    [ApplicationFailure.nonRetryable('', failures.secretMissing), exitCodes.usage],
    [ApplicationFailure.nonRetryable('', failures.wrongMasterKey), exitCodes.usage],
    [ApplicationFailure.retryable('', failures.storeUnreachable), exitCodes.unreachable],
    [ApplicationFailure.retryable('', failures.hostUnreachable), exitCodes.unreachable],
    [ApplicationFailure.retryable('', 'TypeError'), exitCodes.failed],
    [new OperationNotFound(''), exitCodes.notFound],
    [new TemporalUnreachable(''), exitCodes.unreachable],
    [new NoWorker(''), exitCodes.unreachable],
    [new Error('?'), exitCodes.failed],
  ])('%o ends with %i', (error, code) => {
    expect(exitCodeOf(error)).toBe(code);
  });

  test('the numbers are those of the first release', () => {
    expect(exitCodes).toEqual({
      ok: 0,
      failed: 1,
      usage: 2,
      unhealthy: 3,
      busy: 4,
      notFound: 5,
      unreachable: 6,
      refused: 7,
      interrupted: 130,
    });
  });
});

describe('what a person reads', () => {
  test('a failure is named by its type and has no stack', () => {
    expect(explainError(new OperationFailed('HostFull', 'no disk left', id, []), false)).toBe('HostFull: no disk left');
  });

  test('a failure of ours that happened here, as in connect, is named too', () => {
    const failure = ApplicationFailure.nonRetryable('the key is wrong', failures.wrongMasterKey);
    expect(explainError(failure, false)).toBe('WrongMasterKey: the key is wrong');
    expect(explainError(ApplicationFailure.nonRetryable('odd', 'TypeError'), false)).toContain('--debug');
  });

  test('a surprise points to --debug, which shows the stack', () => {
    expect(explainError(new Error('odd'), false)).toMatch(/^odd\n.*--debug/);
    expect(explainError(new Error('odd'), true)).toContain('starter-errors.test');
  });
});
