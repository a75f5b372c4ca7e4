# The worker. Compiled: Node 24 runs the TypeScript sources as they are, but holds some 25 MiB more for that in each process.
ARG NODE_IMAGE=node:24-bookworm-slim
FROM ${NODE_IMAGE} AS build
WORKDIR /holdfast

# Packages first: they change less often than the sources.
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund

COPY tsconfig.json tsconfig.build.json ./
COPY config config
COPY model model
COPY workflows workflows
COPY activities activities
COPY workers workers
COPY starter starter

# With the bundle of the workflows: made once here, and not by each worker that starts.
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM ${NODE_IMAGE}
WORKDIR /holdfast
ENV NODE_ENV=production
COPY --from=build /holdfast/package.json ./
COPY --from=build /holdfast/node_modules node_modules
COPY --from=build /holdfast/dist dist
ENV HOLDFAST_WORKFLOW_BUNDLE=/holdfast/dist/workflow-bundle.js

# Nothing in the image is writable to this user. It reaches the Docker socket by a group that compose adds (DOCKER_GID).
USER 10001:10001
ENTRYPOINT []
# Both are explained in workers/process.ts.
ENV MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072
CMD ["node", "--max-semi-space-size=2", "--heap-growing-percent=40", "--expose-gc", "dist/workers/main.js"]
