import { readFileSync } from 'node:fs'
import t from 'tap'
import { loadPeer } from '../../../services/peers/load-peer.ts'

const { peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))

/** Specifiers that TypeScript does not look up. */
const importing = (name: string) => () => import(name) as Promise<unknown>

t.test('an optional peer that is there is loaded', async t => {
  t.match(await loadPeer('pg', 'A journal', () => import('pg')), { Client: Function })
})

t.test('one that is not installed is named, with the command', async t => {
  await t.rejects(loadPeer('breakwater-absent', 'Plugin "x"', importing('breakwater-absent')), {
    code: 'FST_BRK_PEER_MISSING',
    statusCode: 500,
    message: 'Plugin "x" needs the package breakwater-absent, which is not installed. Install it: npm install "breakwater-absent"',
    cause: { code: 'ERR_MODULE_NOT_FOUND' }
  })
})

t.test('the command asks for the versions that the manifest names', async t => {
  const absent = () => Promise.reject(Object.assign(new Error("Cannot find package 'pg' imported from /srv/x.js"), { code: 'ERR_MODULE_NOT_FOUND' }))
  await t.rejects(loadPeer('pg', 'A journal', absent), { message: `npm install "pg@${peerDependencies.pg}"` })
})

t.test('what is there and broken is not called missing', async t => {
  await t.rejects(loadPeer('pg', 'A journal', importing('breakwater-absent')), { code: 'ERR_MODULE_NOT_FOUND' })
  await t.rejects(loadPeer('pg', 'A journal', () => Promise.reject(new Error("'pg' is broken"))), { message: "'pg' is broken" })
})
