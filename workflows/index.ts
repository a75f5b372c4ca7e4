export { configure } from './configure.ts';
export { deprovision } from './deprovision.ts';
export { keeper } from './keeper.ts';
export { lock } from './lock.ts';
export { provision } from './provision.ts';
export { list, status } from './status.ts';
export { unknownWorkflow as default } from './unknown.ts';
