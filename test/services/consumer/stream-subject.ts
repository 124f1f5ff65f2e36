/** A consumer process to be killed: takes once, tells what it has, and holds it for ever. Arguments: port, queue, how many. */
import { Redis } from 'ioredis'
import { StreamSource } from '../../../services/consumer/stream/stream-source.ts'

const [port, queue, count] = process.argv.slice(2)
const source = new StreamSource({ client: new Redis(Number(port)), blocking: new Redis(Number(port)), queue: queue! })
const taken = await source.take(Number(count), 10_000)
console.log(JSON.stringify(taken.map(({ body }) => body.toString())))
