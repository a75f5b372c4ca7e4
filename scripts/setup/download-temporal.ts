import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { TestWorkflowEnvironment } from '@temporalio/testing';

/** Has the SDK download the CLI of argv[2] into the folder argv[3], and prints the file. The SDK only downloads what it also starts once. */
const [version = 'default', downloadDir = '.'] = process.argv.slice(2);
const environment = await TestWorkflowEnvironment.createLocal({
  server: { executable: { type: 'cached-download', version, downloadDir } },
});
await environment.teardown();
const file = readdirSync(downloadDir).find((name) => name.startsWith('temporal'));
if (file === undefined) process.exit(1);
console.log(join(downloadDir, file));
process.exit(0);
