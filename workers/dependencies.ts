import { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import type Docker from 'dockerode';
import { createEngine } from '../activities/docker/engine.ts';
import { createSecretStore, type SecretStore } from '../activities/secrets/secret-store.ts';
import { createObjectStore, type StreamStore } from '../activities/storage/object-store.ts';
import type { Settings } from '../config/settings.ts';

/** The outside, as activities see it; tests give faulty parts in their place. */
export interface Dependencies {
  readonly settings: Settings;
  readonly docker: Docker;
  readonly store: StreamStore;
  readonly secrets: SecretStore;
  close(): Promise<void>;
}

/** Makes every dependency from the settings. Nothing is contacted before it is used. */
export function createDependencies(
  settings: Settings,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Dependencies {
  const docker = createEngine(settings);
  const store = createObjectStore(settings);
  const secrets = createSecretStore(settings, store, environment);
  return { settings, docker, store, secrets, close: async () => store.close() };
}

/** A Temporal client over the worker's own connection. */
export const createClient = (connection: NativeConnection, settings: Settings): Client =>
  new Client({ connection, namespace: settings.HOLDFAST_TEMPORAL_NAMESPACE });
