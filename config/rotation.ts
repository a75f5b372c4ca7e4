import type { Verification } from './backup.ts';

/** A backup in the plan of a rotation: whether it stays, and why. */
export interface RotationRow {
  readonly id: string;
  /** What its last verification proved; missing when there was none. `unreadable`: a later version of Holdfast wrote its manifest. */
  readonly proof?: Verification['how'] | 'unreadable';
  readonly stays: boolean;
  /** Every rule that keeps it; or why none does. */
  readonly why: readonly string[];
}
