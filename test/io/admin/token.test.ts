import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import supertest from 'supertest'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { openTunnel } from '../../support/tunnel-client.ts'

const TOKEN = 'a-token-of-more-than-sixteen-characters'

let folder: string
let gateway: TestGateway
let origin: Origin
const config = (extra = '') => `
rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]
destinations: { pin: { echo.test: "127.0.0.1:${origin.port}" } }
${extra}`

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-token-'))
  writeFileSync(join(folder, 'token'), `${TOKEN}\n`)
  origin = await Origin.start()
  gateway = await startGateway(config(`admin: { tokenFile: "${join(folder, 'token')}", hosts: [gateway.internal] }`))
})

afterEach(async () => {
  await gateway.stop()
  await origin.stop()
  rmSync(folder, { recursive: true })
})

const api = () => supertest(`http://127.0.0.1:${gateway.adminPort}`)

describe('a call that changes something', () => {
  it('needs the token, and one that is nearly it is no token', async () => {
    for (const authorization of [undefined, 'Bearer', 'Bearer wrong', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN]) {
      const call = api().post('/api/v1/reload')
      const answer = await (authorization === undefined ? call : call.set('Authorization', authorization))
      expect(answer.status, String(authorization)).toBe(401)
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="sallyport"')
    }
    expect(await gateway.metric('sallyport_policy_reloads_total{outcome="ok"}')).toBe(0)
  })

  it('reloads with it, and says what came of that', async () => {
    const answer = await api().post('/api/v1/reload').set('Authorization', `Bearer ${TOKEN}`)
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({ outcome: 'loaded', restartRequired: [] })
  })

  it('says what is wrong with the files where they do not load', async () => {
    writeFileSync(gateway.file, 'cloud: mars\n')
    const answer = await api().post('/api/v1/reload').set('Authorization', `Bearer ${TOKEN}`)
    expect(answer.status).toBe(422)
    expect(answer.body).toMatchObject({ outcome: 'failed', problems: [expect.stringContaining(':1:8: ')] })
  })

  it('ends one tunnel, and no other', async () => {
    const one = await openTunnel(gateway.port, 'echo.test:7')
    const other = await openTunnel(gateway.port, 'echo.test:7')
    const { body } = await api().get('/api/v1/tunnels')
    const { id } = body.tunnels.find(({ clientPort }: { clientPort: number }) => clientPort === one.socket.localPort)
    expect((await api().delete(`/api/v1/tunnels/${id}`)).status).toBe(401)
    expect((await api().delete(`/api/v1/tunnels/${id}`).set('Authorization', `Bearer ${TOKEN}`)).body).toEqual({ ended: id })
    await one.untilClosed()
    other.send('still here')
    await other.until((text) => text.endsWith('still here'))
    expect((await api().delete(`/api/v1/tunnels/${id}`).set('Authorization', `Bearer ${TOKEN}`)).status).toBe(404)
    other.close()
  })

  it('is refused where no token is configured', async () => {
    await gateway.reload(config())
    expect((await api().post('/api/v1/reload').set('Authorization', `Bearer ${TOKEN}`)).status).toBe(403)
    expect((await api().get('/api/v1/status')).status).toBe(200)
  })
})

describe('a name that the admin API is asked under', () => {
  it('is answered where `admin.hosts` has it, and no other', async () => {
    expect((await api().get('/api/v1/status').set('Host', 'gateway.internal:9465')).status).toBe(200)
    expect((await api().get('/api/v1/status').set('Host', 'rebound.example')).status).toBe(421)
  })
})
