import { surviveCrash } from '../support/crash-harness.ts';
import { testPoints } from '../support/crash-suite.ts';
import { provisionCluster } from '../support/crash-survivors.ts';

testPoints('a provision in cluster mode ends well when its worker is killed around any of its activities', provisionCluster, surviveCrash, [
  // What is made once and must not be made anew with other contents: every node trusts the CA and the passwords of the first time.
  'ensureSecrets#1 after',
  // Made under a name, with a subnet that is chosen: a second attempt must find it, and not take another.
  'ensureNetwork#1 after',
  // Six run at once, so that the others die in the middle, wherever they are.
  'ensureNode#2 before',
  'ensureNode#2 after',
  // The bucket and the keeper know the spec, and the operation does not know that they do.
  'acceptSpec#1 after',
]);
