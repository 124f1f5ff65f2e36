import Fastify from 'fastify'

/** What the health routes are compared with: the same body, a schema, and nothing else. */
const body = JSON.parse(process.env.BODY!)
const text = (value: unknown): object => typeof value === 'object'
  ? { type: 'object', properties: Object.fromEntries(Object.entries(value!).map(([key, part]) => [key, text(part)])) }
  : { type: 'string' }

const app = Fastify()
app.get('/', { schema: { response: { 200: text(body) } } }, async () => body)
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
process.once('SIGTERM', () => { void app.close() })
