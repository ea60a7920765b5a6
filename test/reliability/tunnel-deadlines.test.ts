import { afterEach, describe, expect, it } from 'vitest'
import { inspected, startInspectionLab, tunnelEvent } from '../security/inspection-lab.ts'
import { eventsOf, type Lab, startLab } from '../security/lab.ts'
import { httpAnswer, Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'

let stop: () => Promise<void> = async () => {}
afterEach(() => stop())

async function tunnel(lab: Lab, authority: string): Promise<RawClient> {
  stop = () => lab.stop()
  const client = await RawClient.connect(lab.gateway.port)
  client.send(`CONNECT ${authority} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await client.until((text) => text.includes('\r\n\r\n'))
  return client
}

const DEADLINES = [
  { limits: '{ tunnelIdleSeconds: 0.4 }', endedBy: 'idle_timeout' },
  { limits: '{ tunnelLifetimeSeconds: 0.4 }', endedBy: 'lifetime' },
] as const

for (const relay of ['auto', 'portable']) {
  for (const { limits, endedBy } of DEADLINES) {
    describe(`a half-closed tunnel (relay: ${relay}, limits: ${limits})`, () => {
      for (const side of ['client', 'origin'] as const) {
        it(`whose ${side} has ended its side goes on with the other and ends at the deadline`, async () => {
          const origin = await Origin.start((socket) => {
            if (side === 'origin') socket.end('all I have to say')
            else socket.on('end', () => socket.write('and yet'))
          })
          const lab = await startLab({ origin, config: `relay: ${relay}\nlimits: ${limits}` })
          const client = await tunnel(lab, 'allowed.test:7')
          if (side === 'client') client.socket.end('that is all')
          await client.until((text) => text.endsWith(side === 'origin' ? 'all I have to say' : 'and yet'))
          const started = performance.now()
          expect(await eventsOf(lab, client)).toMatchObject([{ event: 'allow', endedBy }])
          expect(performance.now() - started).toBeLessThan(2_000)
          expect(await lab.gateway.metric('sallyport_tunnels_open')).toBe(0)
          client.close()
        })
      }
    })
  }
}

describe('a tunnel whose inside is read here', () => {
  for (const { limits, endedBy } of DEADLINES) {
    it(`to port 80 ends at its deadline (limits: ${limits})`, async () => {
      const lab = await startLab({ config: `limits: ${limits}` })
      const client = await tunnel(lab, 'allowed.test:80')
      await client.untilClosed()
      client.close()
      expect(await eventsOf(lab, client)).toMatchObject([{ kind: 'connect', event: 'allow', endedBy }])
    })

    it(`that is inspected ends at its deadline (limits: ${limits})`, async () => {
      const lab = await startInspectionLab({ config: `limits: ${limits}` })
      stop = () => lab.stop()
      const client = await inspected(lab)
      const port = client.localPort ?? 0
      client.on('error', () => {})
      client.write('GET /team/x HTTP/1.1\r\nHost: paths.test\r\n\r\n')
      client.resume()
      expect(await tunnelEvent(lab, port)).toMatchObject({ event: 'allow', endedBy })
    })
  }

  it('and that moves is not idle, and its lifetime cuts an answer visibly', async () => {
    const origin = await Origin.start((socket) => {
      socket.once('data', () => {
        // Without a length: only the end of the connection says where the answer ends.
        socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n')
        const moving = setInterval(() => socket.write('more'), 50)
        socket.once('close', () => clearInterval(moving))
      })
    })
    const lab = await startLab({ origin, config: 'limits: { tunnelIdleSeconds: 0.4, tunnelLifetimeSeconds: 1.5 }' })
    const client = await tunnel(lab, 'allowed.test:80')
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => client.socket.once('error', resolve))
    const started = performance.now()
    client.send('GET / HTTP/1.0\r\nHost: allowed.test\r\n\r\n')
    expect((await failed).code).toBe('ECONNRESET')
    expect(performance.now() - started).toBeGreaterThan(1_000)
    expect(client.text.match(/more/g)?.length).toBeGreaterThan(10)
    expect(await lab.gateway.audit(1, ({ kind }) => kind === 'connect')).toMatchObject([{ endedBy: 'lifetime' }])
  })

  it('is ended when its client goes in the middle, with nothing left behind', async () => {
    const lab = await startLab({ origin: await Origin.answering(httpAnswer('fine')) })
    const client = await tunnel(lab, 'allowed.test:80')
    client.send('GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n')
    await client.until((text) => text.endsWith('fine'))
    client.close()
    expect(await eventsOf(lab, client, 2)).toMatchObject([{ kind: 'forward' }, { kind: 'connect', endedBy: 'client' }])
    expect(await lab.gateway.metric('sallyport_tunnels_open')).toBe(0)
  })
})
