/** How to come back to an operation that runs without a terminal. */
export const renderComeBack = (workflowId: string) =>
  `  come back:  holdfast operations show ${workflowId} --watch\n  stop it:    holdfast operations cancel ${workflowId}`;

/** What is said of an operation that was started and is not followed. */
export function renderStarted(workflowId: string, waitsForApproval: boolean): string {
  const approve = waitsForApproval ? `\n  approve it: holdfast operations approve ${workflowId}` : '';
  return `Started. It goes on without this terminal.\n${renderComeBack(workflowId)}${approve}`;
}
