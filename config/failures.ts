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
  objectMissing: 'ObjectMissing',
  /** A sealed object was cut short, altered, put together anew, or is another one than it is called. */
  objectDamaged: 'ObjectDamaged',
  /** Written in a format, or needing a runtime, that this version of Holdfast does not have. */
  formatNotSupported: 'FormatNotSupported',
  /** A write that was acknowledged while slots moved is gone. */
  writeLost: 'WriteLost',
  /** Two nodes claim a slot, or nobody can say whose it is: a person must look. */
  slotConflict: 'SlotConflict',
  nodeAway: 'NodeAway',
  migrationFailed: 'MigrationFailed',
  /** A stored backup is not what its manifest says, or no server can load it. */
  backupNotGood: 'BackupNotGood',
  /** There is no such backup, or it has no manifest. */
  backupNotFound: 'BackupNotFound',
  /** A moment that the archive does not reach; the message says which it does. */
  notRestorable: 'NotRestorable',
  undoFailed: 'UndoFailed',
} as const;

export type FailureType = (typeof failures)[keyof typeof failures];
