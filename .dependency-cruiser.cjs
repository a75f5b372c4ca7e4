/** Imports point one way: config <- model <- workflows; config, model <- activities <- workers; config <- starter. docs/decisions/0003 has the exceptions. */
const only = (from, allowed, comment) => ({
  name: `${from}-imports`,
  comment,
  severity: 'error',
  from: { path: `^${from}/` },
  to: { path: '^(config|model|workflows|activities|workers|starter|scripts|test|bench)/', pathNot: `^(${[from, ...allowed].join('|')})/` },
});

module.exports = {
  forbidden: [
    only('config', [], 'the contract stands on nothing of ours'),
    only('model', ['config'], 'pure: no I/O, no order of steps'),
    only('activities', ['config', 'model'], 'activities know no workflow and no worker'),
    only('workers', ['config', 'model', 'activities', 'workflows'], 'workers host'),
    only(
      'workflows',
      ['config', 'model', 'activities'],
      'workflows decide the order; of activities only types, which test/unit/imports.test.ts holds',
    ),
    {
      name: 'no-node-in-workflows',
      comment: 'the sandbox has no Node',
      severity: 'error',
      from: { path: '^(workflows|model)/' },
      to: { dependencyTypes: ['core'] },
    },
    only('starter/client', ['starter', 'config'], 'the typed client is small: the contract and a Temporal client'),
    {
      name: 'client-without-cli',
      comment: 'whoever imports the client must not load the command line',
      severity: 'error',
      from: { path: '^starter/client/' },
      to: { path: '^starter/(?!client/)' },
    },
    only('starter/cli', ['starter', 'config', 'model', 'workers'], 'the command line reaches workers only for connect, doctor and worker'),
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unlisted-packages', severity: 'error', from: {}, to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: 'specify',
    parser: 'swc',
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'] },
  },
};
