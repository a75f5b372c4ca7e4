/**
 * Kinds of failure that a caller can act on: the `type` of the ApplicationFailure that ends an operation.
 * None of these is retried: trying again cannot help until somebody has done what the message says.
 */
export const failures = {
  invalidInput: 'InvalidInput',
  unknownWorkflow: 'UnknownWorkflow',
  clusterBusy: 'ClusterBusy',
  clusterNotFound: 'ClusterNotFound',
  refused: 'PlanRefused',
  rejected: 'Rejected',
  verificationFailed: 'VerificationFailed',
  nameTaken: 'NameTaken',
  subnetTaken: 'SubnetTaken',
  imageNotAvailable: 'ImageNotAvailable',
  hostFull: 'HostFull',
  hostUnreachable: 'HostUnreachable',
  engineRefused: 'EngineRefused',
  storeUnreachable: 'StoreUnreachable',
  nodeDied: 'NodeDied',
  nodeSilent: 'NodeSilent',
  secretMissing: 'SecretMissing',
  wrongMasterKey: 'WrongMasterKey',
  undoFailed: 'UndoFailed',
} as const;

export type FailureType = (typeof failures)[keyof typeof failures];
