import neostandard from 'neostandard'

/**
 * Imports go one way: routes → plugins → services, and inside services along this table, which says what a service may
 * use of the others. A new service gets a line here.
 */
const services = {
  naming: [],
  peers: [],
  resilience: ['naming'],
  config: ['naming'],
  observability: ['peers'],
  access: ['config'],
  http: ['naming', 'access'],
  health: ['resilience', 'config', 'observability'],
  credentials: ['peers', 'resilience', 'config', 'observability'],
  redis: ['resilience', 'config', 'credentials', 'observability'],
  journal: ['resilience', 'observability'],
  queue: ['resilience', 'config', 'journal', 'observability'],
  publishing: ['resilience', 'queue', 'journal', 'observability'],
  relay: ['resilience', 'queue', 'journal', 'observability'],
  consumer: ['resilience', 'queue', 'observability'],
  tasks: ['resilience', 'queue', 'journal', 'relay', 'consumer', 'observability'],
  administration: ['queue', 'journal', 'observability'],
  deployment: ['naming', 'peers', 'config', 'credentials', 'redis', 'queue', 'administration'],
  doctor: ['naming', 'peers', 'config', 'credentials', 'redis', 'queue', 'consumer'],
  operations: ['health', 'config', 'observability', 'queue', 'journal', 'resilience'],
  cache: ['resilience', 'observability'],
  registry: ['peers', 'queue', 'journal', 'http', 'observability']
}
const top = ['app', 'server', 'index']
const alternatives = names => `(${names.join('|')})`

/** No file of these folders, at the root of the repository, seen from anywhere below it. */
const folders = (names, message) => ({ regex: `^(\\.\\./)+${alternatives(names)}/`, message })
const files = names => ({
  regex: `^(\\.\\./)+${alternatives(names)}\\.ts$`,
  message: 'Only the process and the tests know the application as a whole.'
})
const tools = folders(['scripts', 'test'], 'What runs in production imports no tools and no tests.')
const noFastify = {
  regex: '^(fastify|fastify-plugin|@fastify/(?!error$).*)$',
  message: 'Services know nothing of Fastify (@fastify/error excepted): that part belongs in a plugin.'
}

function direction (name, patterns) {
  const dynamic = patterns.map(({ regex, message }) => ({
    selector: `ImportExpression[source.value=/${regex.replaceAll('/', '\\u002F')}/]`, message
  }))
  return {
    name: `breakwater/${name}`,
    files: [`${name}/**/*.ts`],
    rules: {
      'no-restricted-imports': ['error', { patterns }],
      'no-restricted-syntax': ['error', ...dynamic]
    }
  }
}

function serviceDirection ([name, allowed]) {
  const above = Object.keys(services).filter(other => other !== name && !allowed.includes(other))
  return direction(`services/${name}`, [
    noFastify,
    tools,
    files(top),
    folders(['plugins', 'routes'], 'Services are below plugins and routes.'),
    folders(above, `services/${name} is below these, or beside them: see the table in eslint.config.js.`)
  ])
}

export default [
  ...neostandard({ ts: true, ignores: ['dist/**', '.tap/**', 'data/**'] }),
  { rules: { 'no-void': ['error', { allowAsStatement: true }] } },
  {
    name: 'breakwater/production',
    files: ['*.ts', 'plugins/**/*.ts', 'routes/**/*.ts', 'services/**/*.ts'],
    rules: { 'no-console': 'error' }
  },
  {
    name: 'breakwater/one-idea-per-file',
    files: ['**/*.ts'],
    ignores: ['test/**'],
    rules: { 'max-lines': ['error', 249] }
  },
  direction('plugins', [tools, files(top), folders(['routes'], 'Plugins are below routes.')]),
  direction('routes', [tools, files(top)]),
  ...Object.entries(services).map(serviceDirection)
]
