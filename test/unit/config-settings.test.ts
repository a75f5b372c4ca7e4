import { expect, test } from 'vitest';
import { InvalidSettings, readSettings, settingsSchema } from '../../config/settings.ts';

const refusalOf = (environment: Record<string, string>): string => {
  try {
    readSettings(environment);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof InvalidSettings)) throw error;
    return error.message;
  }
};

test('an empty environment gives working defaults for a machine of one’s own', () => {
  expect(readSettings({})).toMatchObject({
    HOLDFAST_TEMPORAL_ADDRESS: '127.0.0.1:7233',
    HOLDFAST_DOCKER_HOST: 'unix:///var/run/docker.sock',
    HOLDFAST_HOST: 'local',
    HOLDFAST_SUBNET_POOL: '10.213.0.0/16',
    HOLDFAST_SUBNET_PREFIX: 24,
    HOLDFAST_S3_PATH_STYLE: true,
  });
});

test('a variable that is set to nothing counts as not set', () => {
  expect(readSettings({ HOLDFAST_HOST: '' }).HOLDFAST_HOST).toBe('local');
});

test('variables of other programs are left alone', () => {
  expect(readSettings({ PATH: '/bin', AWS_REGION: 'x', HOLDFAST_HOME: '/x', HOLDFAST_SECRET_APP: 'pw' })).toEqual(readSettings({}));
});

test('a typo is refused instead of falling back to a default', () => {
  expect(refusalOf({ HOLDFAST_S3_BUCKT: 'x' })).toContain('HOLDFAST_S3_BUCKT: no such setting; docs/settings.md lists them');
});

test('every variable that is wrong has a line of its own', () => {
  const message = refusalOf({
    HOLDFAST_SUBNET_PREFIX: '30',
    HOLDFAST_S3_PATH_STYLE: 'yes',
    HOLDFAST_HOST: 'Host 1',
    HOLDFAST_S3_ENDPOINT: 'localhost',
    HOLDFAST_NOTHING: '1',
  });
  const named = ['SUBNET_PREFIX', 'S3_PATH_STYLE', 'HOST', 'S3_ENDPOINT', 'NOTHING'];
  for (const name of named) expect(message).toMatch(new RegExp(`^ {2}HOLDFAST_${name}: .+$`, 'm'));
  expect(message.split('\n')).toHaveLength(1 + named.length);
});

test('a secret’s value never stands in the message', () => {
  expect(refusalOf({ HOLDFAST_MASTER_KEY: 'k3y-material', HOLDFAST_SUBNET_PREFIX: 'x' })).not.toContain('k3y-material');
});

test('every setting says what it is for', () => {
  for (const [name, field] of Object.entries(settingsSchema.shape)) expect(field.description, name).toMatch(/\.$/);
});
