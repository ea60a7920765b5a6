import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer, Socket as NodeSocket, type Socket } from 'node:net'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { RelayAddon } from '../../native/index.d.ts'
import {
  connect,
  descriptorOf,
  handOver,
  Loopback,
  openDescriptors,
  openTunnel,
  RelayRig,
  take,
  untilEnd,
  untilError,
} from './tunnels.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const built = spawnSync(process.execPath, ['native/build.mjs', '--strict'], { cwd: root, encoding: 'utf8' })
if (built.status !== 0 && process.env['CI']) throw new Error(`the kernel relay must build in CI: ${built.stderr}`)
const title = built.status === 0 ? 'the kernel relay' : `the kernel relay (skipped: ${built.stderr.trim()})`

const CLIENT = 0
const ORIGIN = 1
const IDLE_TIMEOUT = 2
const LIFETIME = 3
const KILLED = 4
const DIAL_FAILED = 6
const DIALLED = 7
/** Not in Node's table. */
const ESHUTDOWN = 108

describe.skipIf(built.status !== 0)(title, () => {
  let addon: RelayAddon
  let rig: RelayRig
  let loopback: Loopback
  let descriptorsBefore = 0

  beforeAll(async () => {
    addon = createRequire(import.meta.url)('../../native/build/relay.node') as RelayAddon
    loopback = await Loopback.open()
    rig = new RelayRig(addon)
    descriptorsBefore = openDescriptors()
  })

  /** Bulk leaves up to 32 pipes in the pool, two descriptors each: they are the relay's, not leaked. */
  const leaked = () => {
    const totals = new Float64Array(4)
    rig.relay.totals(totals)
    return openDescriptors() - descriptorsBefore - 2 * (totals[3] ?? 0)
  }

  afterAll(async () => {
    await vi.waitFor(() => expect(leaked()).toBe(0), { timeout: 5000 })
    rig.relay.close(0)
    await loopback.close()
  })

  it('is of the interface that the types describe', () => {
    expect(addon.abi).toBe(3)
  })

  it('echoes small messages, and handing over sends neither end nor reset', async () => {
    const { id, client, origin } = await openTunnel(rig, loopback)
    for (let i = 0; i < 20; i++) {
      client.write('ping')
      expect(await take(origin, 4)).toBe('ping')
      origin.write('pong')
      expect(await take(client, 4)).toBe('pong')
    }
    client.end()
    await untilEnd(origin)
    origin.end()
    await untilEnd(client)
    expect(await rig.end(id)).toMatchObject({ bytesUp: 80, bytesDown: 80, endedBy: CLIENT, error: 0 })
  })

  for (const splice of [true, false])
    it(`carries 64 MB each way at once unharmed ${splice ? 'by splice' : 'without pipes'}`, async () => {
      const own = new RelayRig(addon, { splice })
      const { id, client, origin } = await openTunnel(own, loopback)
      const total = 64 * 1024 * 1024
      const [up, atOrigin, down, atClient] = await Promise.all([
        send(client, total, 3),
        hash(origin),
        send(origin, total, 5),
        hash(client),
      ])
      expect(atOrigin).toBe(up)
      expect(atClient).toBe(down)
      expect(await own.end(id)).toMatchObject({ bytesUp: total, bytesDown: total, error: 0 })
      own.relay.close(0)
    })

  for (const [first, code] of [
    ['client', CLIENT],
    ['origin', ORIGIN],
  ] as const)
    it(`leaves the other way open when the ${first} half-closes`, async () => {
      const tunnel = await openTunnel(rig, loopback)
      const [one, other] = first === 'client' ? [tunnel.client, tunnel.origin] : [tunnel.origin, tunnel.client]
      one.end('request')
      expect(await take(other, 7)).toBe('request')
      await untilEnd(other)
      other.write('answer ')
      expect(await take(one, 7)).toBe('answer ')
      other.end('more')
      expect(await take(one, 4)).toBe('more')
      await untilEnd(one)
      const up = first === 'client' ? 7 : 11
      expect(await rig.end(tunnel.id)).toMatchObject({ bytesUp: up, bytesDown: 18 - up, endedBy: code, error: 0 })
    })

  for (const [first, code] of [
    ['client', CLIENT],
    ['origin', ORIGIN],
  ] as const)
    it(`passes a reset by the ${first} on`, async () => {
      const tunnel = await openTunnel(rig, loopback)
      const [one, other] = first === 'client' ? [tunnel.client, tunnel.origin] : [tunnel.origin, tunnel.client]
      const seen = untilError(other)
      one.resetAndDestroy()
      expect(await seen).toBe('ECONNRESET')
      expect(await rig.end(tunnel.id)).toMatchObject({ endedBy: code, error: constants.errno.ECONNRESET })
    })

  it('ends an idle tunnel, and not one that is used', async () => {
    const [idle, used] = await Promise.all([
      openTunnel(rig, loopback, { idleMs: 150 }),
      openTunnel(rig, loopback, { idleMs: 150 }),
    ])
    const chatter = setInterval(() => used.origin.write('.'), 25)
    const seen = untilError(idle.client)
    idle.origin.on('error', () => {})
    const ended = await rig.end(idle.id)
    expect(ended).toMatchObject({ endedBy: IDLE_TIMEOUT, error: 0 })
    expect(ended.durationMs).toBeGreaterThanOrEqual(150)
    expect(await seen).toBe('ECONNRESET')
    clearInterval(chatter)
    expect(rig.relay.stats(used.id, new Float64Array(3))).toBe(true)
    used.client.destroy()
    used.origin.destroy()
    await rig.end(used.id)
  })

  it('ends a tunnel at its lifetime though it is used', async () => {
    const { id, client, origin } = await openTunnel(rig, loopback, { idleMs: 5000, lifetimeMs: 150 })
    const chatter = setInterval(() => origin.write('.'), 20)
    // At the end that receives nothing: libuv takes data with a reset close behind for a plain end.
    const seen = untilError(origin)
    client.on('error', () => {}).resume()
    const ended = await rig.end(id)
    expect(ended.endedBy).toBe(LIFETIME)
    expect(ended.durationMs).toBeGreaterThanOrEqual(150)
    expect(['ECONNRESET', 'EPIPE']).toContain(await seen)
    clearInterval(chatter)
    client.destroy()
  })

  it('kills one and passes the reason through', async () => {
    const [one, other] = await Promise.all([openTunnel(rig, loopback), openTunnel(rig, loopback)])
    const seen = [untilError(one.client), untilError(one.origin)]
    expect(rig.relay.kill(one.id, 4_000_000_000)).toBe(true)
    expect(await rig.end(one.id)).toMatchObject({ endedBy: KILLED, reason: 4_000_000_000 })
    expect(await Promise.all(seen)).toEqual(['ECONNRESET', 'ECONNRESET'])
    expect(rig.relay.kill(one.id, 1)).toBe(false)
    other.client.write('alive')
    expect(await take(other.origin, 5)).toBe('alive')
    other.client.destroy()
    other.origin.destroy()
    await rig.end(other.id)
  })

  it('kills all that are open, and not the next one', async () => {
    const doomed = await Promise.all(Array.from({ length: 20 }, () => openTunnel(rig, loopback)))
    for (const { client, origin } of doomed) for (const socket of [client, origin]) socket.on('error', () => {}).resume()
    expect(rig.relay.killAll(12)).toBe(20)
    const next = await openTunnel(rig, loopback)
    for (const { id } of doomed) expect(await rig.end(id)).toMatchObject({ endedBy: KILLED, reason: 12 })
    next.client.write('alive')
    expect(await take(next.origin, 5)).toBe('alive')
    next.client.destroy()
    next.origin.destroy()
    await rig.end(next.id)
  })

  it('sends what Node had read already first, both ways, and counts it', async () => {
    const [client, origin] = await Promise.all([loopback.pair(), loopback.pair()])
    client.far.write('early ')
    origin.far.write('banner ')
    // Now Node has them in its streams, and only they know them.
    await Promise.all([once(client.near, 'readable'), once(origin.near, 'readable')])
    client.far.write('late')
    origin.far.write('body')
    const id = handOver(rig.relay, client.near, origin.near, { toOrigin: Buffer.from('head '), toClient: Buffer.from('200 ') })
    expect(await take(origin.far, 15)).toBe('head early late')
    expect(await take(client.far, 15)).toBe('200 banner body')
    client.far.end()
    await untilEnd(origin.far)
    origin.far.end()
    expect(await rig.end(id)).toMatchObject({ bytesUp: 15, bytesDown: 15 })
    await untilEnd(client.far)
  })

  it('takes the socket of an HTTP CONNECT after its 200', async () => {
    const server = createHttpServer()
    const ids: number[] = []
    const origin = await loopback.pair()
    server.on('connect', (_request, socket, head) => {
      // The write is taken by the kernel at once, or the callback comes when it is.
      socket.write('HTTP/1.1 200 OK\r\n\r\n', () =>
        ids.push(handOver(rig.relay, socket as Socket, origin.near, { toOrigin: head })),
      )
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true })
    client.write('CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\nhello ')
    expect(await take(client, 19)).toBe('HTTP/1.1 200 OK\r\n\r\n')
    client.write('again')
    expect(await take(origin.far, 11)).toBe('hello again')
    origin.far.end('bye')
    expect(await take(client, 3)).toBe('bye')
    await untilEnd(client)
    client.end()
    await untilEnd(origin.far)
    // The answer was written by Node and is not the tunnel's.
    expect(await rig.end(ids[0] ?? 0)).toMatchObject({ bytesUp: 11, bytesDown: 3, endedBy: ORIGIN })
    server.close()
    await once(server, 'close')
  })

  it('dials, and relays what it dialled', async () => {
    const listener = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    const accepted = once(listener, 'connection') as Promise<[Socket]>
    // Nothing listens on the first.
    const dialled = await rig.end(rig.relay.dial('127.0.0.2,127.0.0.1', port, 5000, 250))
    expect(dialled).toMatchObject({ endedBy: DIALLED, address: 1, error: 0 })
    const [client, [origin]] = await Promise.all([loopback.pair(), accepted])
    const id = rig.relay.relay(descriptorOf(client.near), dialled.fd, Buffer.from('hello '), null, 0, 0, true)
    client.near.destroy()
    client.far.end('origin')
    expect(await take(origin, 12)).toBe('hello origin')
    await untilEnd(origin)
    origin.end('bye')
    expect(await take(client.far, 3)).toBe('bye')
    await untilEnd(client.far)
    expect(await rig.end(id)).toMatchObject({ bytesUp: 12, bytesDown: 3 })
    listener.close()
    await once(listener, 'close')
    const refused = await rig.end(rig.relay.dial('127.0.0.1', port, 5000, 250))
    expect(refused).toMatchObject({ endedBy: DIAL_FAILED, error: constants.errno.ECONNREFUSED, fd: -1 })
  })

  it('gives Node a socket of what it dialled, where bytes are to be seen after all', async () => {
    const listener = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { fd } = await rig.end(rig.relay.dial('127.0.0.1', (listener.address() as AddressInfo).port, 5000, 250))
    const socket = new NodeSocket({ fd, readable: true, writable: true, allowHalfOpen: true })
    socket.write('seen')
    expect(await take(socket, 4)).toBe('seen')
    socket.destroy()
    listener.close()
    await once(listener, 'close')
  })

  it('dials addresses only: no name, no other spelling of an address', () => {
    for (const bad of [
      '',
      'localhost',
      '127.1',
      '0x7f.0.0.1',
      '2130706433',
      '127.0.0.1\0',
      '127.0.0.1 ',
      '[::1]',
      'fe80::1%lo',
      '1.1.1.1,x',
    ])
      expect(() => rig.relay.dial(bad, 443, 1000, 250), bad).toThrow(TypeError)
    expect(() => rig.relay.dial('127.0.0.1,'.repeat(9), 443, 1000, 250)).toThrow(TypeError)
    for (const port of [0, 65536]) expect(() => rig.relay.dial('127.0.0.1', port, 1000, 250)).toThrow(TypeError)
  })

  it('leaves both sockets alone when it cannot take them', async () => {
    const [client, origin] = await Promise.all([loopback.pair(), loopback.pair()])
    const before = openDescriptors()
    expect(rig.relay.relay(descriptorOf(client.near), -1, null, null, 0, 0, false)).toBe(-constants.errno.EBADF)
    expect(rig.relay.relay(-1, descriptorOf(origin.near), null, null, 0, 0, false)).toBe(-constants.errno.EBADF)
    const small = new RelayRig(addon, { maxTunnels: 1 })
    const only = await openTunnel(small, loopback)
    expect(small.relay.relay(descriptorOf(client.near), descriptorOf(origin.near), null, null, 0, 0, false)).toBe(
      -constants.errno.ENOSPC,
    )
    for (const socket of [only.client, only.origin]) socket.on('error', () => {}).resume()
    small.relay.close(0)
    client.far.write('still here')
    expect(await take(client.near, 10)).toBe('still here')
    for (const { near, far } of [client, origin]) {
      near.destroy()
      far.destroy()
    }
    await vi.waitFor(() => expect(openDescriptors()).toBeLessThan(before))
  })

  it('refuses arguments of another type as the bugs they are', () => {
    const relay = rig.relay.relay as (...arguments_: unknown[]) => number
    for (const bad of [
      [],
      ['1', 2, null, null, 0, 0, false],
      [1, 2, 'text', null, 0, 0, false],
      [1, 2, new Float64Array(1), null, 0, 0, false],
    ])
      expect(() => relay(...bad)).toThrow(TypeError)
    expect(() => rig.relay.stats(1, new Float64Array(2))).toThrow(TypeError)
  })

  it('shows exact figures of a live tunnel', async () => {
    const { id, client, origin } = await openTunnel(rig, loopback)
    client.write(Buffer.alloc(100_000))
    await take(origin, 100_000)
    origin.write('abc')
    await take(client, 3)
    const out = new Float64Array(3)
    await vi.waitFor(() => {
      expect(rig.relay.stats(id, out)).toBe(true)
      expect([out[0], out[1]]).toEqual([100_000, 3])
    })
    expect(out[2]).toBeLessThan(5000)
    const totals = new Float64Array(4)
    rig.relay.totals(totals)
    expect(totals[0]).toBe(1)
    client.destroy()
    origin.destroy()
    await rig.end(id)
    expect(rig.relay.stats(id, out)).toBe(false)
  })

  it('carries 500 tunnels at once, each its own bytes, and gives every descriptor back', async () => {
    const tunnels = await Promise.all(Array.from({ length: 500 }, () => openTunnel(rig, loopback)))
    rig.batches = 0
    await Promise.all(
      tunnels.map(async ({ client, origin }, i) => {
        const text = `tunnel ${String(i).padStart(4, '0')}`.padEnd(2000 + i * 31, '-')
        client.end(text)
        expect(await take(origin, text.length)).toBe(text)
        await untilEnd(origin)
        origin.end(text.slice(0, 11))
        expect(await take(client, 11)).toBe(text.slice(0, 11))
        await untilEnd(client)
      }),
    )
    for (const [i, { id }] of tunnels.entries())
      expect(await rig.end(id)).toMatchObject({ bytesUp: 2000 + i * 31, bytesDown: 11, error: 0 })
    expect(rig.batches).toBeLessThanOrEqual(500)
    await vi.waitFor(() => expect(leaked()).toBe(0), { timeout: 5000 })
  })

  it('hands over the last records before close returns, and is closed for good', async () => {
    const own = new RelayRig(addon)
    const tunnels = await Promise.all([openTunnel(own, loopback), openTunnel(own, loopback)])
    for (const { client, origin } of tunnels) for (const socket of [client, origin]) socket.on('error', () => {}).resume()
    own.relay.close(31)
    for (const { id } of tunnels) expect(await own.end(id)).toMatchObject({ endedBy: KILLED, reason: 31 })
    own.relay.close(32)
    expect(own.relay.relay(0, 1, null, null, 0, 0, false)).toBe(-ESHUTDOWN)
    expect(own.relay.totals(new Float64Array(4))).toBe(false)
    expect(own.relay.kill(tunnels[0]?.id ?? 0, 1)).toBe(false)
  })

  const scripts = [
    { what: 'a relay without tunnels does not keep the process alive', source: '' },
    {
      what: 'an open tunnel does, until it ends',
      source: `open(tunnel => setTimeout(() => tunnel.client.destroy(), 50))`,
      says: '1 ended\n',
    },
    { what: 'process.exit with open tunnels is clean', source: `open(() => process.exit(0))` },
    {
      what: 'an exception from the callback is an uncaught one',
      source: `fail = true; open(tunnel => tunnel.client.destroy())`,
      status: 1,
    },
    {
      what: 'close from the callback is allowed',
      source: `closing = true; open(tunnel => tunnel.client.destroy())`,
      says: '1 ended\n',
    },
    {
      what: 'a worker that is terminated takes its tunnels with it',
      source: `
        const { Worker } = require('node:worker_threads')
        const { readdirSync } = require('node:fs')
        const before = readdirSync('/proc/self/fd').length
        const worker = new Worker(PRELUDE + 'open(() => parentPort.postMessage("open"))', { eval: true })
        worker.once('message', () => worker.terminate().then(() => {
          const threads = readdirSync('/proc/self/task').map((id) => require('node:fs').readFileSync('/proc/self/task/' + id + '/comm', 'utf8').trim())
          console.log(threads.includes('sallyport-relay') ? 'thread left' : 'no thread left')
        }))`,
      says: 'no thread left\n',
      relay: false,
    },
  ]
  for (const { what, source, says = '', status = 0, relay = true } of scripts)
    it(`at the end of a process: ${what}`, () => {
      const prelude = `
        const net = require('node:net')
        const { parentPort } = require('node:worker_threads')
        const addon = require(${JSON.stringify(`${root}native/build/relay.node`)})
        let fail = false, closing = false
        const relay = addon.createRelay({}, (records) => {
          if (fail) throw new Error('from the callback')
          console.log(records.length / 9 + ' ended')
          if (closing) relay.close(0)
        })
        function pair(done) {
          const server = net.createServer({ pauseOnConnect: true }, (near) => { server.close(); done(near, far) }).listen(0, '127.0.0.1', () => {
            far = net.connect(server.address().port, '127.0.0.1').on('error', () => {}).resume()
          })
          let far
        }
        function open(done) {
          pair((a, client) => pair((b, origin) => {
            relay.relay(a._handle.fd, b._handle.fd, null, null, 0, 0, false)
            a.destroy(); b.destroy()
            done({ client, origin })
          }))
        }
        `
      const script = relay ? prelude + source : `const PRELUDE = ${JSON.stringify(prelude)}; ${source}`
      const run = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 20_000 })
      expect(run.stdout).toBe(says)
      expect(run.stderr.includes('from the callback')).toBe(status === 1)
      expect([run.status, run.signal]).toEqual([status, null])
    })

  it('says so when a connection was not redirected', async () => {
    const { near, far } = await loopback.pair()
    const answer = addon.originalDestination(descriptorOf(near))
    // With connection tracking on the kernel answers with the listener itself.
    if (typeof answer === 'number') expect(answer).toBeLessThan(0)
    else expect(answer).toEqual({ address: '127.0.0.1', port: near.localPort, family: 4 })
    expect(addon.originalDestination(-1)).toBe(-constants.errno.EBADF)
    near.destroy()
    far.destroy()
  })
})

async function send(socket: Socket, total: number, seed: number): Promise<string> {
  const digest = createHash('sha256')
  const block = Buffer.alloc(256 * 1024)
  for (let at = 0, turn = 0; at < total; turn++) {
    block.fill((seed * 31 + turn) & 255)
    // Odd sizes now and then, so that both ways of moving bytes and the change between them are used.
    const piece = Buffer.from(block.subarray(0, Math.min(turn % 7 === 0 ? 1 + turn : block.length, total - at)))
    digest.update(piece)
    at += piece.length
    if (!socket.write(piece)) await once(socket, 'drain')
  }
  socket.end()
  return digest.digest('hex')
}

async function hash(socket: Socket): Promise<string> {
  const digest = createHash('sha256')
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) digest.update(chunk)
  return digest.digest('hex')
}
