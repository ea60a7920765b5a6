import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NO_FEATURES } from '../../security/lab.ts'
import { basic, userLine } from '../../support/credentials.ts'
import { startGateway, type TestGateway, waitFor } from '../../support/gateway.ts'
import { readAnswers, type WireAnswer } from '../../support/http-answers.ts'
import { Origin } from '../../support/origin.ts'
import { RawClient } from '../../support/raw-client.ts'

/** 127.0.0.1 is in no group, 127.0.1.x in `training`, 127.0.2.x in `watched`; `alice` is in `people`, `bob` in no group. */
const ALICE = basic('alice', 'a right password')
const BOB = basic('bob', 'another right password')
const TRAINER = '127.0.1.7'
const WATCHED = '127.0.2.7'

let origin: Origin
let gateway: TestGateway

const config = (more = '', groups = '') => `features: ${NO_FEATURES}
groups:
  training: { sources: ["127.0.1.0/24"], limits: { requestsPerSecondPerClient: 1000 } }
  watched: { sources: ["127.0.2.0/24"], mode: report }
  people: { users: [alice] }
${groups}
credentials: { file: users.txt, failuresPerMinutePerClient: 5 }
rules:
  - { name: everybody, hosts: [shared.test], ports: [80] }
  - { name: bytes, hosts: [bytes.test], ports: [7], protocol: any }
  - { name: training, hosts: [training.test], ports: [80], groups: [training] }
  - { name: people, hosts: [people.test], ports: [80], groups: [people] }
  - { name: not-training, hosts: [bytes.test], action: deny, groups: [training] }
destinations:
  pin: { ${['shared', 'training', 'people', 'bytes', 'unlisted'].map((name) => `${name}.test: "127.0.0.1:${origin.port}"`).join(', ')} }
clients: { files: [env.sh, proxy.pac] }
${more}`

function writeUsers(file: string, ...lines: string[]): void {
  writeFileSync(file, `# made by a test\n${lines.join('\n')}\n`)
}

const usersFile = () => join(dirname(gateway.file), 'users.txt')
const users = () => [userLine('alice', 'a right password'), userLine('bob', 'another right password')]
let lines: string[]

beforeAll(async () => {
  origin = await Origin.answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  lines = users()
  // The folder is made by `startGateway`, so the first start is without the file.
  gateway = await startGateway('mode: enforce\n')
  writeUsers(usersFile(), ...lines)
  expect(await gateway.reload(config())).toMatchObject({ outcome: 'loaded' })
})

afterAll(async () => {
  await gateway?.stop()
  await origin?.stop()
})

async function ask(target: string, fields = '', from = '127.0.0.1'): Promise<WireAnswer & { readonly port: number }> {
  const client = await RawClient.connect(gateway.port, '127.0.0.1', from)
  client.send(`GET http://${target}/ HTTP/1.1\r\nHost: ${target}\r\n${fields}\r\n`)
  await client.answer()
  const [answer] = readAnswers(client.text, [], false)
  client.close()
  if (answer === undefined) throw new Error('no answer')
  return { ...answer, port: client.localPort }
}

const lineOf = async (port: number) => (await gateway.audit(1, ({ clientPort }) => clientPort === port))[0]

describe('the policy of a client', () => {
  const table = [
    { host: 'training.test', from: TRAINER, fields: '', gets: 200, because: 'its group has the rule' },
    { host: 'shared.test', from: TRAINER, fields: '', gets: 200, because: 'a rule without groups is for everybody' },
    { host: 'people.test', from: TRAINER, fields: '', gets: 403, because: 'it is a rule of another group' },
    {
      host: 'people.test',
      from: TRAINER,
      fields: ALICE,
      gets: 403,
      because: 'the first group that matches counts, whatever else is shown',
    },
    {
      host: 'people.test',
      from: '127.0.0.1',
      fields: ALICE,
      gets: 200,
      because: 'the password is right and the user in the group',
    },
    { host: 'training.test', from: '127.0.0.1', fields: ALICE, gets: 403, because: 'she is in another group' },
    {
      host: 'shared.test',
      from: '127.0.0.1',
      fields: BOB,
      gets: 200,
      because: 'a known user in no group has the policy at the top',
    },
    { host: 'people.test', from: '127.0.0.1', fields: BOB, gets: 403, because: 'which has no rule of a group' },
    {
      host: 'shared.test',
      from: '127.0.0.1',
      fields: '',
      gets: 407,
      because: 'it is in no group by its address and shows nothing',
    },
    { host: 'shared.test', from: '127.0.0.1', fields: basic('alice', 'wrong'), gets: 407, because: 'the password is wrong' },
    {
      host: 'shared.test',
      from: '127.0.0.1',
      fields: basic('mallory', 'a right password'),
      gets: 407,
      because: 'there is no such user',
    },
    {
      host: 'shared.test',
      from: '127.0.0.1',
      fields: 'Proxy-Authorization: Bearer x\r\n',
      gets: 407,
      because: 'it is not Basic',
    },
    { host: 'shared.test', from: '127.0.0.1', fields: `${ALICE}${BOB}`, gets: 400, because: 'two of them are two clients' },
    { host: 'unlisted.test', from: WATCHED, fields: '', gets: 200, because: 'its group is in report mode' },
    { host: 'unlisted.test', from: TRAINER, fields: '', gets: 403, because: 'its own is not' },
  ] as const
  for (const { host, from, fields, gets, because } of table)
    it(`answers ${gets} for ${host} from ${from}${fields === '' ? '' : ` with ${fields.trim().slice(0, 27)}`}: ${because}`, async () => {
      const before = origin.connections
      expect((await ask(host, fields, from)).status).toBe(gets)
      if (gets !== 200) expect(origin.connections).toBe(before)
    })

  it('stands in the audit log, with the user and never with the password', async () => {
    const answers = [await ask('people.test', ALICE), await ask('training.test', '', TRAINER), await ask('shared.test', BOB)]
    const seen = await Promise.all(answers.map(({ port }) => lineOf(port)))
    expect(seen.map((event) => [event?.group, event?.user, event?.entry])).toEqual([
      ['people', 'alice', 'rule/people'],
      ['training', undefined, 'rule/training'],
      [undefined, 'bob', 'rule/everybody'],
    ])
    expect(JSON.stringify(seen)).not.toMatch(/password|YWxpY2U/)
  })

  it('says `would_deny` for a group in report mode, and is counted by group', async () => {
    const { port } = await ask('unlisted.test', '', WATCHED)
    expect(await lineOf(port)).toMatchObject({ event: 'would_deny', group: 'watched', reason: 'host_not_listed' })
    expect(await gateway.metric('sallyport_group_requests_total{group="watched",verdict="would_deny"}')).toBeGreaterThan(0)
    expect(await gateway.metric('sallyport_group_requests_total{group="",verdict="allow"}')).toBeGreaterThan(0)
    expect(await gateway.metric('sallyport_report_mode_since_timestamp_seconds')).toBeGreaterThan(0)
  })

  it('has a hint that names the group', async () => {
    const { body } = await ask('unlisted.test', '', TRAINER)
    expect(JSON.parse(body)).toMatchObject({ hint: expect.stringContaining('groups: [training]') })
  })

  it('is that of the tunnel for every request inside it, which shows nothing by itself', async () => {
    const client = await RawClient.connect(gateway.port)
    client.send(`CONNECT people.test:80 HTTP/1.1\r\nHost: people.test:80\r\n${ALICE}\r\n`)
    await client.until((text) => text.includes('\r\n\r\n'))
    client.send('GET /inside HTTP/1.1\r\nHost: people.test\r\n\r\n')
    await client.until((text) => text.endsWith('ok'))
    client.close()
    const [event] = await gateway.audit(1, ({ path }) => path === '/inside')
    expect(event).toMatchObject({ group: 'people', user: 'alice', event: 'allow' })
    expect(Buffer.concat([...origin.received]).toString('latin1')).not.toMatch(/proxy-auth/i)
  })
})

describe('proxy credentials', () => {
  it('are asked for with a challenge, and only then', async () => {
    const missing = await ask('shared.test')
    expect(missing.fields.get('proxy-authenticate')).toBe('Basic realm="sallyport", charset="UTF-8"')
    expect(missing.fields.get('sallyport-reason')).toBe('credentials_required')
    const denied = await ask('people.test', '', TRAINER)
    expect(denied.fields.has('proxy-authenticate')).toBe(false)
  })

  it('that are missing are counted where no alert looks: clients ask without them first', async () => {
    const loud = 'sallyport_denials_total{listener="proxy",verdict="deny",reason="credentials_required",host=""}'
    const quiet = 'sallyport_denials_quiet_total{listener="proxy",reason="credentials_required"}'
    const before = [await gateway.metric(loud), await gateway.metric(quiet)].map((value) => value ?? 0)
    await ask('shared.test')
    expect([await gateway.metric(loud), await gateway.metric(quiet)].map((value) => value ?? 0)).toEqual([
      before[0],
      (before[1] ?? 0) + 1,
    ])
  })

  it('never reach the origin, in a forward or in a WebSocket', async () => {
    await ask('people.test', ALICE)
    const client = await RawClient.connect(gateway.port)
    client.send(
      `GET http://people.test/ws HTTP/1.1\r\nHost: people.test\r\n${ALICE}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n`,
    )
    await client.answer()
    client.close()
    expect(Buffer.concat([...origin.received]).toString('latin1')).not.toMatch(/proxy-auth|YWxpY2U/i)
  })

  it('are looked at a few times a minute and client, and not at all after that', async () => {
    const from = '127.0.3.9'
    const statuses: number[] = []
    for (let guess = 0; guess < 7; guess++)
      statuses.push((await ask('shared.test', basic('alice', `guess ${guess}`), from)).status)
    expect(statuses).toEqual([407, 407, 407, 407, 407, 429, 429])
    expect((await ask('people.test', ALICE, from)).status, 'a password that is known to be right').toBe(200)
    expect((await ask('people.test', ALICE, '127.0.3.10')).status, 'another client').toBe(200)
    expect(await gateway.metric('sallyport_limit_hits_total{limit="credential_failures_per_client"}')).toBe(2)
  })

  it('are not wanted for what a client needs before it has any', async () => {
    const client = await RawClient.connect(gateway.port)
    client.send(`GET /env.sh HTTP/1.1\r\nHost: gateway.test:3128\r\n\r\n`)
    const text = await client.answer()
    client.close()
    expect(text).toContain('export https_proxy=http://gateway.test:3128')
    expect(text).toContain('export no_proxy=localhost,127.0.0.1,::1,169.254.169.254,168.63.129.16')
  })
})

describe('groups of one gateway', () => {
  it('never share an origin connection', async () => {
    // Retires every connection that is kept.
    await gateway.reload(config())
    const before = origin.connections
    const turns = [
      ['', TRAINER],
      ['', WATCHED],
      [ALICE, '127.0.0.1'],
      [BOB, '127.0.0.1'],
    ] as const
    for (const [fields, from] of [...turns, ...turns]) expect((await ask('shared.test', fields, from)).status).toBe(200)
    expect(origin.connections - before, 'one each, used twice').toBe(turns.length)
  })

  it('have rates of their own', async () => {
    await gateway.reload(config('limits: { requestsPerSecondPerClient: 1 }'))
    const many = Array.from({ length: 10 }, () => 0)
    const top = await Promise.all(many.map(() => ask('shared.test', BOB)))
    const trained = await Promise.all(many.map(() => ask('training.test', '', TRAINER)))
    expect(top.filter(({ status }) => status === 429).length).toBeGreaterThanOrEqual(7)
    expect(trained.map(({ status }) => status)).toEqual(many.map(() => 200))
    await gateway.reload(config())
  })
})

const tunnel = async (fields: string, from = '127.0.0.1') => {
  const client = await RawClient.connect(gateway.port, '127.0.0.1', from)
  client.send(`CONNECT bytes.test:7 HTTP/1.1\r\nHost: bytes.test:7\r\n${fields}\r\n`)
  await client.until((text) => text.includes('\r\n\r\n'))
  return client
}

describe('tunnels of a group', () => {
  const SMALL = '  small: { sources: ["127.0.3.0/24"], limits: { tunnels: 2, tunnelsPerClient: 9 } }'

  it('are bounded over all its clients, and take no place of others', async () => {
    await gateway.reload(config('', SMALL))
    const open = [await tunnel('', '127.0.3.1'), await tunnel('', '127.0.3.2')]
    expect(open.map(({ text }) => text.slice(9, 12))).toEqual(['200', '200'])
    const third = await tunnel('', '127.0.3.3')
    expect(third.text).toMatch(/^HTTP\/1\.1 429 client_limit\r\n/)
    expect(third.text).toMatch(/\r\nRetry-After: \d+\r\n/i)
    const [line] = await gateway.audit(1, ({ client }) => client === '127.0.3.3')
    expect(line).toMatchObject({ group: 'small', reason: 'client_limit', detail: 'the group of this client has no more tunnels' })
    expect(await gateway.metric('sallyport_limit_hits_total{limit="tunnels_per_group"}')).toBe(1)
    const other = await tunnel(BOB)
    expect(other.text.slice(9, 12)).toBe('200')
    open[0]?.close()
    await waitFor(async () => {
      const next = await tunnel('', '127.0.3.3')
      return next.text.startsWith('HTTP/1.1 200 ') ? open.push(next) : undefined
    }, 'the place that was given up')
    for (const client of [...open, other]) client.close()
    await gateway.reload(config())
  })
})

describe('a reload', () => {
  it('closes the tunnels of a user that is gone, or whose password is another, and no others', async () => {
    const alices = await tunnel(ALICE)
    const bobs = await tunnel(BOB)
    expect([alices.text, bobs.text].map((text) => text.slice(9, 12))).toEqual(['200', '200'])
    writeUsers(usersFile(), userLine('alice', 'her next password'), lines[1] ?? '')
    await gateway.reload(config())
    await alices.untilClosed()
    expect(bobs.closed).toBe(false)
    expect((await ask('people.test', ALICE)).status, 'the old password').toBe(407)
    expect((await ask('people.test', basic('alice', 'her next password'))).status).toBe(200)
    bobs.close()
    writeUsers(usersFile(), ...lines)
    await gateway.reload(config())
  })

  it('judges tunnels by the group that their clients are in now', async () => {
    const client = await tunnel('', WATCHED)
    expect(client.text.slice(9, 12)).toBe('200')
    const moved = config().replace('["127.0.1.0/24"]', '["127.0.1.0/24", "127.0.2.0/24"]')
    await gateway.reload(moved)
    await client.untilClosed()
    expect(await gateway.audit(1, ({ endedBy, group }) => endedBy === 'policy_changed' && group === 'watched')).toHaveLength(1)
    await gateway.reload(config())
  })

  it('with a broken file of credentials changes nothing, and does not repeat what stands in it', async () => {
    writeFileSync(usersFile(), 'alice:hunter2hunter2\n')
    const report = await gateway.reload(config())
    expect(report).toMatchObject({ outcome: 'failed' })
    expect(JSON.stringify([report, gateway.log])).not.toContain('hunter2')
    expect((await ask('people.test', ALICE)).status).toBe(200)
    writeUsers(usersFile(), ...lines)
    await gateway.reload(config())
  })

  it('without credentials required lets strangers in by the policy at the top', async () => {
    await gateway.reload(config().replace('failuresPerMinutePerClient: 5', 'required: false'))
    expect((await ask('shared.test')).status).toBe(200)
    expect((await ask('people.test')).status).toBe(403)
    expect((await ask('shared.test', basic('alice', 'wrong again')))?.status, 'a wrong password is none at all').toBe(407)
    await gateway.reload(config())
  })
})
