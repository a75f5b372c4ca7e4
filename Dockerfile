# The worker. No build step: Node 24 runs the TypeScript sources as they are.
ARG NODE_IMAGE=node:24-bookworm-slim
FROM ${NODE_IMAGE}

WORKDIR /holdfast
ENV NODE_ENV=production

# Packages first: they change less often than the sources.
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund && npm cache clean --force

COPY config config
COPY model model
COPY workflows workflows
COPY activities activities
COPY workers workers
COPY starter starter

# Made once here, and not by each worker that starts.
RUN node workers/bundle.ts workflow-bundle.js
ENV HOLDFAST_WORKFLOW_BUNDLE=/holdfast/workflow-bundle.js

# Nothing in the image is writable to this user. It reaches the Docker socket by a group that compose adds (DOCKER_GID).
USER 10001:10001
ENTRYPOINT []
# Both are explained in workers/process.ts.
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072
CMD ["node", "--max-semi-space-size=2", "--heap-growing-percent=60", "--expose-gc", "workers/main.ts"]
