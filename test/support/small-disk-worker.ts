import Docker from 'dockerode';

/** A worker whose engine has little disk for volumes: each that it makes holds so much. */
const SIZE = '8m';
const make: (this: Docker, options: Docker.VolumeCreateOptions) => Promise<unknown> = Docker.prototype.createVolume;
const small = function (this: Docker, options: Docker.VolumeCreateOptions) {
  return make.call(this, { ...options, DriverOpts: { type: 'tmpfs', device: 'tmpfs', o: `size=${SIZE},mode=1777` } });
};
Object.assign(Docker.prototype, { createVolume: small });

const { runWorkers } = await import('../../workers/main.ts');
await runWorkers();
