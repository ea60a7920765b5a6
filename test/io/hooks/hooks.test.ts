import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { basic, userLine } from '../../support/credentials.ts'
import { waitFor } from '../../support/gateway.ts'
import { HookLab, type HookLabOptions, onRequest } from '../../support/hook-lab.ts'
import { RawClient } from '../../support/raw-client.ts'

let lab: HookLab | undefined
const clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await lab?.stop()
  lab = undefined
})

async function start(body: string, options?: HookLabOptions): Promise<HookLab> {
  lab = await HookLab.start(onRequest(body), options)
  return lab
}

async function connect({ gateway }: HookLab, authority: string, more = ''): Promise<{ client: RawClient; answer: string }> {
  const client = await RawClient.connect(gateway.port)
  clients.push(client)
  client.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${more}\r\n`)
  return { client, answer: await client.until((text) => text.includes('\r\n\r\n')) }
}

const answers = (lab: HookLab, verdict: string, from: string) =>
  lab.gateway.metric(`sallyport_hook_answers_total{verdict="${verdict}",from="${from}"}`)

describe('where hooks stand in the order of things', () => {
  const CASES = [
    {
      url: 'http://a.test/',
      settings: '',
      config: '',
      reason: 'denied_by_hook',
      because: 'what the policy allows is asked about',
    },
    { url: 'http://unlisted.test/', settings: '', config: '', reason: 'host_not_listed', because: 'what it refuses is not' },
    {
      url: 'http://unlisted.test/',
      settings: 'mayAllow: true',
      config: '',
      reason: 'denied_by_hook',
      because: 'unless a hook might let it through',
    },
    {
      url: 'http://never.test/',
      settings: 'mayAllow: true',
      config: '',
      reason: 'denied_by_rule',
      because: 'a deny rule comes before every hook',
    },
    {
      url: 'http://unlisted.test/',
      settings: '',
      config: 'mode: report\n',
      reason: 'denied_by_hook',
      because: 'the mode comes after hooks',
    },
    {
      url: 'http://a.test/',
      settings: '',
      config: 'clients: { allow: ["10.9.9.9/32"] }\n',
      reason: 'client_not_allowed',
      because: 'a client that may not use the gateway comes before everything',
    },
  ] as const
  for (const { url, settings, config, reason, because } of CASES)
    it(`${reason} for ${url} with [${settings}] [${config.trim()}]: ${because}`, async () => {
      const { get } = bound(await start("return { verdict: 'deny' }", { settings, config }))
      expect(await get(url)).toMatchObject({ reason })
    })

  it('a hook that refuses is not undone by one that allows', async () => {
    const { get } = bound(
      await start("return { verdict: request.path === '/a' ? 'allow' : 'deny' }", { settings: 'mayAllow: true' }),
    )
    expect(await get('http://unlisted.test/a')).toMatchObject({ status: 200 })
    expect(await get('http://unlisted.test/b')).toMatchObject({ reason: 'denied_by_hook' })
    const [line] = (await lab?.gateway.audit(1, ({ event }) => event === 'allow')) ?? []
    expect(line).toMatchObject({ host: 'unlisted.test', hook: 'hook.ts' })
    expect(line).not.toHaveProperty('entry')
  })

  it('what a hook lets through is vetted like all else', async () => {
    const { get } = bound(await start("return { verdict: 'allow' }", { settings: 'mayAllow: true' }))
    expect(await get('http://127.0.0.1:1/')).toMatchObject({ reason: 'address_refused' })
    expect(await get('http://169.254.169.254/')).toMatchObject({ reason: 'address_refused' })
  })
})

function bound(lab: HookLab) {
  return { get: lab.get.bind(lab) }
}

describe('what a hook is shown', () => {
  it('is the request as the policy decided it, without credentials', async () => {
    const lab = await start(
      `console.log(JSON.stringify({ ...request, id: 0, headers: { ...request.headers }, proxyHeaders: undefined }))
       return { verdict: 'pass' }`,
    )
    await lab.get('http://a.test/x?q=1', {
      headers: {
        'X-Ticket': 'CHG1',
        Authorization: 'Basic c2VjcmV0',
        'Proxy-Authorization': 'Basic c2VjcmV0',
        Cookie: 'a=secret',
      },
    })
    const { text } = await waitFor(() => lab.gateway.log.find(({ msg }) => msg === 'a hook says'), 'what the hook says')
    expect(JSON.parse(String(text))).toEqual({
      id: 0,
      kind: 'forward',
      listener: 'proxy',
      client: '127.0.0.1',
      host: 'a.test',
      port: 80,
      method: 'GET',
      path: '/x',
      verdict: 'allow',
      entry: 'rule/listed',
      headers: { host: 'a.test', 'x-ticket': 'CHG1', connection: 'close' },
    })
  })

  it('says what group the client is in and who it is, and what is kept for one is not said to another', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-hook-users-'))
    writeFileSync(join(folder, 'users.txt'), `${userLine('alice', 'a')}\n${userLine('bob', 'b')}\n`, { mode: 0o600 })
    try {
      const { get } = bound(
        await start(
          "return { verdict: request.group === 'people' && request.user === 'alice' ? 'pass' : 'deny', cacheSeconds: 60 }",
          { config: `credentials: { file: ${join(folder, 'users.txt')} }\ngroups: { people: { users: ["*"] } }\n` },
        ),
      )
      const as = (user: string, password: string) => {
        const [name = '', value = ''] = basic(user, password).trim().split(': ')
        return get('http://a.test/', { headers: { [name]: value } })
      }
      for (let n = 0; n < 2; n++) {
        expect(await as('alice', 'a')).toMatchObject({ status: 200 })
        expect(await as('bob', 'b')).toMatchObject({ status: 403, reason: 'denied_by_hook' })
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('cannot be changed, and has nothing that it does not have', async () => {
    const { get } = bound(
      await start(`try { request.host = 'b.test' } catch {}
        try { Object.defineProperty(request, 'host', { value: 'b.test' }) } catch {}
        return { verdict: request.host === 'a.test' && request.toString === undefined && request.headers.constructor === undefined ? 'pass' : 'deny' }`),
    )
    expect((await get('http://a.test/')).status).toBe(200)
  })

  it('inside a tunnel has the fields of its CONNECT too', async () => {
    const lab = await start("return { verdict: request.proxyHeaders['x-ticket'] === 'CHG1' ? 'pass' : 'deny' }")
    const without = await connect(lab, 'a.test:80')
    expect(without.answer).toContain('denied_by_hook')
    const { client, answer } = await connect(lab, 'a.test:80', 'X-Ticket: CHG1\r\n')
    expect(answer).toContain(' 200 ')
    client.send('GET /inside HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await client.until((text) => text.includes('\r\n\r\nok'))
    expect(lab.origin.asked).toEqual(['GET /inside'])
  })
})

describe('an answer that may be kept', () => {
  const COUNTED = 'globalThis.n = (globalThis.n ?? 0) + 1\n'

  it('is kept for requests that are equal in what was read, and for no others', async () => {
    const lab = await start(`${COUNTED}return { verdict: request.host === 'a.test' ? 'pass' : 'deny', cacheSeconds: 600 }`)
    for (const path of ['/1', '/2', '/3']) expect((await lab.get(`http://a.test${path}`)).status).toBe(200)
    for (const path of ['/1', '/2']) expect((await lab.get(`http://b.test${path}`)).status).toBe(403)
    expect([await answers(lab, 'pass', 'process'), await answers(lab, 'pass', 'cache')]).toEqual([1, 2])
    expect([await answers(lab, 'deny', 'process'), await answers(lab, 'deny', 'cache')]).toEqual([1, 1])
  })

  const READS: readonly (readonly [how: string, read: string])[] = [
    ['a property', "request.headers['x-team']"],
    ['destructuring', '(({ headers: { "x-team": t } }) => t)(request)'],
    ['`in`', "'x-team' in request.headers && request.headers['x-team']"],
    ['a listing', 'JSON.stringify(Object.entries(request.headers))'],
    ['a copy', "({ ...request.headers })['x-team']"],
    ['JSON', 'JSON.stringify(request.headers)'],
    ['a descriptor', "Object.getOwnPropertyDescriptor(request.headers, 'x-team')?.value"],
    ['Reflect', "Reflect.get(request.headers, 'x-team')"],
  ]
  for (const [how, read] of READS)
    it(`tells requests apart by a field that was read with ${how}`, async () => {
      const { get } = bound(
        await start(`return { verdict: String(${read}).includes('red') ? 'pass' : 'deny', cacheSeconds: 600 }`),
      )
      for (let i = 0; i < 2; i++) {
        expect((await get('http://a.test/', { headers: { 'X-Team': 'red' } })).status).toBe(200)
        expect((await get('http://a.test/', { headers: { 'X-Team': 'blue' } })).status).toBe(403)
        expect((await get('http://a.test/')).status).toBe(403)
      }
    })

  it('that depends on one field here and on another there is right for both', async () => {
    const { get } = bound(
      await start("return { verdict: request.host === 'a.test' || request.path === '/ok' ? 'pass' : 'deny', cacheSeconds: 600 }"),
    )
    for (let i = 0; i < 2; i++) {
      expect((await get('http://a.test/no')).status).toBe(200)
      expect((await get('http://b.test/ok')).status).toBe(200)
      expect((await get('http://b.test/no')).status).toBe(403)
    }
  })

  for (const [what, body] of [
    ['without a time', "return { verdict: 'pass' }"],
    ['after the id was read', "return { verdict: request.id === '' ? 'deny' : 'pass', cacheSeconds: 600 }"],
    ['after the whole request was listed', "Object.keys(request); return { verdict: 'pass', cacheSeconds: 600 }"],
    ['when it has failed', "throw new Error('x')"],
  ] as const)
    it(`is not kept ${what}`, async () => {
      const lab = await start(body)
      for (let i = 0; i < 3; i++) await lab.get('http://a.test/')
      for (const verdict of ['pass', 'failed']) expect(await answers(lab, verdict, 'cache')).toBeUndefined()
    })

  it('is forgotten when its time is over', async () => {
    const lab = await start("return { verdict: 'pass', cacheSeconds: 0.05 }")
    await lab.get('http://a.test/')
    await waitFor(async () => {
      await lab.get('http://a.test/')
      return ((await answers(lab, 'pass', 'process')) ?? 0) >= 2 ? true : undefined
    }, 'a second question')
  })
})

describe('a hook that narrows', () => {
  it('lets a request through whose method and path are within, and no other', async () => {
    const { get } = bound(await start("return { verdict: 'narrow', methods: ['GET'], paths: ['/team/*'] }"))
    expect((await get('http://a.test/team/x')).status).toBe(200)
    expect(await get('http://a.test/other')).toMatchObject({
      reason: 'denied_by_hook',
      hint: 'the hook `hook.ts` says: `only /team/*`',
    })
    expect(await get('http://a.test/team/x', { method: 'DELETE' })).toMatchObject({ reason: 'denied_by_hook' })
    expect(await get('http://a.test/team/%2e%2e/x')).toMatchObject({ reason: 'path_not_canonical' })
  })

  it('a tunnel holds for each request inside, in report mode too', async () => {
    const lab = await start("return request.kind === 'connect' ? { verdict: 'narrow', paths: ['/in/*'] } : { verdict: 'pass' }", {
      config: 'mode: report\n',
    })
    const { client } = await connect(lab, 'a.test:80')
    client.send('GET /in/x HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await client.until((text) => text.includes('\r\n\r\nok'))
    client.send('GET /out HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await client.until((text) => text.includes('denied_by_hook'))
    expect(lab.origin.asked).toEqual(['GET /in/x'])
  })

  it('TLS that cannot be looked into refuses it, in report mode too', async () => {
    const lab = await start("return { verdict: 'narrow', methods: ['GET'] }", { config: 'mode: report\n' })
    expect((await connect(lab, 'a.test:443')).answer).toContain('inspection_unavailable')
  })

  it('a tunnel to seconds closes it then', async () => {
    const lab = await start("return { verdict: 'narrow', seconds: 0.2 }")
    const { client, answer } = await connect(lab, 'a.test:80')
    expect(answer).toContain(' 200 ')
    await client.untilClosed()
    const [line] = await lab.gateway.audit(1, ({ kind }) => kind === 'connect')
    expect(line).toMatchObject({ endedBy: 'lifetime' })
  })
})

describe('what hooks are told', () => {
  it('is each refusal and the end of each tunnel, with what the audit log says of the client', async () => {
    lab = await HookLab.start(
      `import { defineHook } from 'sallyport'
       export default defineHook({
         onDenied: (event) => console.log('denied', event.host, event.reason, event.client),
         onTunnelEnd: (event) => console.log('ended', event.host, event.endedBy, event.client),
         onStop: () => console.log('stopped'),
       })`,
      { config: 'audit: { file: audit.log, clients: drop }\n' },
    )
    const { gateway } = lab
    const said = () => gateway.log.filter(({ msg }) => msg === 'a hook says').map(({ text }) => text)
    expect((await lab.get('http://unlisted.test/')).status).toBe(403)
    const { client } = await connect(lab, 'a.test:80')
    client.close()
    await waitFor(() => (said().length === 2 ? true : undefined), 'both')
    expect(said()).toEqual(['denied unlisted.test host_not_listed undefined', 'ended a.test client undefined'])
    await gateway.gateway.stop()
    expect(said()).toContain('stopped')
    // Nobody was asked.
    expect(await gateway.metric('sallyport_hook_duration_seconds_count')).toBe(0)
  })
})

describe('a reload', () => {
  const ANSWER = (verdict: string) => onRequest(`return { verdict: '${verdict}', cacheSeconds: 600 }`)

  it('puts changed hooks in force, with nothing kept of the old ones', async () => {
    const lab = await start("return { verdict: 'pass', cacheSeconds: 600 }")
    expect((await lab.get('http://a.test/')).status).toBe(200)
    expect(await lab.reload(ANSWER('deny'))).toMatchObject({ outcome: 'loaded' })
    expect((await lab.get('http://a.test/')).status).toBe(403)
    await waitFor(
      async () => ((await lab.gateway.metric('sallyport_hook_processes')) === 1 ? true : undefined),
      'the old one to end',
    )
  })

  for (const [what, code, problem] of [
    ['does not compile', 'export default {', /hook\.ts:1:\d+: /],
    [
      'imports what there is not',
      "import 'there-is-no-such-package'\nexport default {}",
      /Could not resolve "there-is-no-such-package"/,
    ],
    ['throws when it is loaded', "throw new Error('at the top')", /hook\.ts: hook\.ts:1:7: Error: at the top/],
    ['has no default export', 'export const hook = {}', /has no default export/],
    ['has a name mistyped', 'export default { onrequest() {} }', /a hook has no `onrequest`/],
    ['does nothing', 'export default {}', /it does nothing/],
    ['ends the process', 'process.exit(0)', /ended while it loaded/],
  ] as const)
    it(`with a hook that ${what} keeps the old ones`, async () => {
      const lab = await start("return { verdict: request.host === 'a.test' ? 'pass' : 'deny' }")
      const report = await lab.reload(code)
      expect(report).toMatchObject({ outcome: 'failed', problems: [expect.stringMatching(problem)] })
      expect((await lab.get('http://a.test/')).status).toBe(200)
      expect((await lab.get('http://b.test/')).status).toBe(403)
    })

  it('that leaves the hooks as they are leaves their process and what it remembers', async () => {
    const body = "globalThis.n = (globalThis.n ?? 0) + 1\nreturn { verdict: globalThis.n > 1 ? 'pass' : 'deny' }"
    const lab = await start(body)
    expect((await lab.get('http://a.test/')).status).toBe(403)
    expect(await lab.reload(onRequest(body))).toMatchObject({ outcome: 'loaded' })
    expect((await lab.get('http://a.test/')).status).toBe(200)
  })

  it('closes open tunnels that the new hooks refuse, and leaves those whose hook fails', async () => {
    const lab = await start("return { verdict: 'pass' }")
    const a = await connect(lab, 'a.test:80')
    const b = await connect(lab, 'b.test:80')
    await lab.reload(onRequest("if (request.host === 'b.test') throw new Error('x')\nreturn { verdict: 'deny' }"))
    await a.client.untilClosed()
    const [line] = await lab.gateway.audit(1, ({ endedBy }) => endedBy === 'policy_changed')
    expect(line).toMatchObject({ host: 'a.test' })
    expect(b.client.closed).toBe(false)
  })

  it('is asked for by a change of what a hook imports', async () => {
    const lab = await HookLab.start(
      "import { VERDICT } from './verdict.ts'\nexport default { onRequest: () => ({ verdict: VERDICT }) }",
      {
        beside: { 'verdict.ts': "export const VERDICT = 'pass'" },
      },
    )
    expect((await lab.get('http://a.test/')).status).toBe(200)
    writeFileSync(join(lab.folder, 'verdict.ts'), "export const VERDICT = 'deny'")
    await lab.gateway.gateway.reload()
    expect((await lab.get('http://a.test/')).status).toBe(403)
    await lab.stop()
  })
})

it('a client that leaves while a hook thinks is told of by what the hook said, and its request goes nowhere', async () => {
  const there = await start("await new Promise((resolve) => setTimeout(resolve, 300)); return { verdict: 'deny' }")
  const client = await RawClient.connect(there.gateway.port)
  clients.push(client)
  client.send('GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n')
  client.socket.end()
  const [event] = await there.gateway.audit()
  expect(event).toMatchObject({ event: 'deny', reason: 'denied_by_hook', path: '/' })
  expect(there.origin.asked).toEqual([])
})
