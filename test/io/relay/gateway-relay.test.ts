import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { loadNative } from '../../../src/io/relay/load-native.ts'
import { helloWith, serverName } from '../../core/wire/hellos/build.ts'
import { startGateway, type TestGateway, waitFor } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { RawClient } from '../../support/raw-client.ts'
import { openTunnel } from '../../support/tunnel-client.ts'

const KINDS = loadNative().ok || process.env['CI'] ? (['kernel', 'portable'] as const) : (['portable'] as const)

const UPGRADE =
  'GET http://a.test/socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

let origin: Origin
let gateway: TestGateway
let clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients) client.close()
  clients = []
  await gateway?.stop()
  await origin?.stop()
})

async function open(): Promise<RawClient> {
  const client = await openTunnel(gateway.port, 'a.test:7')
  clients.push(client)
  return client
}

const openDescriptors = () => readdirSync('/proc/self/fd').length

for (const kind of KINDS)
  describe(`a gateway with the ${kind} relay`, () => {
    const config = (limits = '{}') =>
      `relay: ${kind === 'kernel' ? 'auto' : kind}\nlimits: ${limits}\n` +
      'rules: [{ name: a, hosts: [a.test], ports: [7], protocol: any }, { name: plain, hosts: [a.test], ports: [80] }]\n' +
      `destinations: { pin: { a.test: "127.0.0.1:${origin.port}" } }\n`

    const start = async (limits?: string, serve?: Parameters<typeof Origin.start>[0]) => {
      origin = await Origin.start(serve)
      gateway = await startGateway(config(limits))
    }

    it('says which one it is', async () => {
      await start()
      expect(gateway.gateway.status()).toMatchObject({ relay: kind })
      expect(await gateway.gateway.metrics.registry.metrics()).toMatch(new RegExp(`sallyport_build_info\\{.*relay="${kind}"`))
      expect(gateway.log.filter(({ msg }) => String(msg).includes('kernel relay'))).toEqual([])
    })

    it('carries 500 tunnels at once, counts every byte and gives every descriptor back', async () => {
      await start('{ tunnelsPerClient: 500, requestsPerSecondPerClient: 1000 }')
      const before = openDescriptors()
      const tunnels = await Promise.all(Array.from({ length: 500 }, open))
      expect(gateway.gateway.status()).toMatchObject({ tunnels: { open: 500 } })
      const texts = tunnels.map((_, i) => `tunnel ${String(i).padStart(4, '0')}, `.repeat(20))
      for (const [i, tunnel] of tunnels.entries()) tunnel.send(texts[i] ?? '')
      await Promise.all(tunnels.map((tunnel, i) => tunnel.until((text) => text.endsWith(texts[i] ?? ''))))
      for (const tunnel of tunnels) tunnel.socket.end()
      const events = await gateway.audit(500, ({ event }) => event === 'allow')
      const length = texts[0]?.length
      expect(
        events.filter(
          ({ bytesUp, bytesDown, endedBy }) => [bytesUp, bytesDown].some((n) => n !== length) || endedBy !== 'client',
        ),
      ).toEqual([])
      expect(await gateway.metric('sallyport_tunnel_bytes_total{direction="up"}')).toBe(500 * (length ?? 0))
      await waitFor(() => (openDescriptors() <= before ? true : undefined), 'the descriptors')
      expect(gateway.gateway.status()).toMatchObject({ tunnels: { open: 0 } })
    })

    it('breaks a tunnel off that a reload no longer allows, and says why', async () => {
      await start()
      const tunnel = await open()
      await gateway.reload(`relay: ${kind === 'kernel' ? 'auto' : kind}\n`)
      await tunnel.untilClosed()
      expect(await gateway.audit(1)).toMatchObject([{ endedBy: 'policy_changed', host: 'a.test' }])
    })

    it('breaks a tunnel off that was still being opened when a reload took what allowed it', async () => {
      origin = await Origin.start()
      const pin = `destinations: { pin: { a.test: "127.0.0.1:${origin.port}" } }\n`
      gateway = await startGateway(`rules: [{ name: a, hosts: [a.test], ports: [7], protocol: tls }]\n${pin}`)
      const tunnel = await open()
      await gateway.reload(`rules: [{ name: b, hosts: [b.test], ports: [7], protocol: tls }]\n${pin}`)
      tunnel.send(helloWith(serverName('a.test')))
      await tunnel.untilClosed()
      expect(await gateway.audit(1)).toMatchObject([{ endedBy: 'policy_changed', host: 'a.test' }])
    })

    it('breaks off what is still open at the end of a drain', async () => {
      await start('{ drainSeconds: 0.2 }')
      const tunnel = await open()
      tunnel.send('moving')
      await tunnel.until((text) => text.endsWith('moving'))
      await gateway.gateway.drain()
      await tunnel.untilClosed()
      expect(await gateway.audit(1)).toMatchObject([{ endedBy: 'drain', bytesUp: 6, bytesDown: 6 }])
    })

    it('lets a tunnel end by itself in a drain', async () => {
      await start('{ drainSeconds: 60 }')
      const tunnel = await open()
      const drained = gateway.gateway.drain()
      tunnel.send('moving')
      await tunnel.until((text) => text.endsWith('moving'))
      tunnel.socket.end()
      await drained
      expect(await gateway.audit(1)).toMatchObject([{ endedBy: 'client', bytesUp: 6 }])
    })

    for (const [limits, endedBy] of [
      ['{ tunnelIdleSeconds: 0.2 }', 'idle_timeout'],
      ['{ tunnelLifetimeSeconds: 0.2 }', 'lifetime'],
    ] as const)
      it(`ends a tunnel by ${endedBy}`, async () => {
        await start(limits)
        const tunnel = await open()
        await tunnel.untilClosed()
        expect(await gateway.audit(1)).toMatchObject([{ endedBy, event: 'allow' }])
      })

    it('shows the bytes of a tunnel while it is open', async () => {
      await start()
      const tunnel = await open()
      tunnel.send('so far')
      await tunnel.until((text) => text.endsWith('so far'))
      const shown = async () => {
        const answer = await fetch(`http://127.0.0.1:${gateway.adminPort}/api/v1/tunnels`)
        return JSON.stringify(await answer.json())
      }
      await waitFor(async () => (/"bytesUp":6,"bytesDown":6/.test(await shown()) ? true : undefined), 'its bytes')
    })

    it('sends on what a server says first, while the client is silent', async () => {
      await start('{}', (socket) => {
        socket.write('220 ready\r\n')
        socket.on('data', () => {}).on('end', () => socket.end('221 bye\r\n'))
      })
      const tunnel = await open()
      await tunnel.until((text) => text.endsWith('220 ready\r\n'))
      tunnel.socket.end()
      expect(await tunnel.untilClosed()).toContain('221 bye\r\n')
      expect(await gateway.audit(1)).toMatchObject([{ bytesUp: 0, bytesDown: 20 }])
    })

    it('relays a WebSocket over plain HTTP, with what came with the 101 before anything else', async () => {
      await start('{}', (socket) => {
        socket.once('data', () => {
          socket.write(`${SWITCHED}welcome, `)
          socket.on('data', (bytes: Buffer) => socket.write(bytes))
        })
        socket.on('end', () => socket.end())
      })
      const client = await RawClient.connect(gateway.port)
      clients.push(client)
      client.send(UPGRADE)
      await client.until((text) => text.endsWith('welcome, '))
      client.send('frames')
      await client.until((text) => text.endsWith('welcome, frames'))
      client.socket.end()
      await client.untilClosed()
      expect(await gateway.audit(1)).toMatchObject([{ kind: 'websocket', event: 'allow', bytesUp: 6, endedBy: 'client' }])
    })

    it('bounds connections by `limits.connections` with those of tunnels among them', async () => {
      await start('{ connections: 2 }')
      await open()
      await open()
      const third = await RawClient.connect(gateway.port)
      await third.untilClosed()
      expect(third.text).toBe('')
      clients.pop()?.close()
      await gateway.audit(1)
      await waitFor(() => open().catch(() => undefined), 'a free place')
    })
  })

describe('the kernel relay that is not there', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-native-'))
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const because = (path: string) => {
    const loaded = loadNative(path)
    return loaded.ok ? '' : loaded.error
  }
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is explained: not built, of other sources, or not loadable', () => {
    expect(because(join(folder, 'none.node'))).toMatch(/^it was not built at install; `node native\/build.mjs` builds it/)
    expect(because(file('other.cjs', 'module.exports = { abi: 2 }'))).toMatch(/^it was built from other sources/)
    expect(because(file('broken.node', 'not a library'))).toMatch(/^it does not load: /)
  })
})
