import { afterEach, describe, expect, it } from 'vitest'
import { waitFor } from '../../support/gateway.ts'
import { HookLab, onRequest } from '../../support/hook-lab.ts'

/** Code that means well and goes wrong, and code that does not mean well. Whatever it does, the one request is refused and others are served. */

let lab: HookLab | undefined

afterEach(async () => {
  await lab?.stop()
  lab = undefined
})

const PASS = "if (!request.path.startsWith('/bad')) return { verdict: 'pass' }\n"

/** What the hook does for `/bad`, and how that is told. */
const FAULTS: readonly { readonly name: string; readonly body: string; readonly detail: string; readonly settings?: string }[] = [
  { name: 'throws', body: "throw new Error('boom')", detail: 'it threw' },
  { name: 'throws nothing at all', body: 'throw undefined', detail: 'it threw' },
  { name: 'throws what throws when it is shown', body: 'throw { toString() { throw 1 } }', detail: 'it threw' },
  { name: 'rejects', body: "return Promise.reject(new Error('no'))", detail: 'it threw' },
  {
    name: 'never settles',
    body: 'return new Promise(() => {})',
    detail: 'it did not answer in time (`hooks.timeoutMs`)',
    settings: 'timeoutMs: 200',
  },
  { name: 'answers with nothing', body: 'return', detail: 'its answer is none' },
  { name: 'answers true', body: 'return true', detail: 'its answer is none' },
  { name: 'answers null', body: 'return null', detail: 'its answer is none' },
  { name: 'answers a text', body: "return 'pass'", detail: 'its answer is none' },
  { name: 'answers another verdict', body: "return { verdict: 'ok' }", detail: 'its answer is none' },
  { name: 'answers a list', body: "return [{ verdict: 'pass' }]", detail: 'its answer is none' },
  { name: 'answers keys that there are not', body: "return { verdict: 'pass', message: 'x' }", detail: 'its answer is none' },
  { name: 'narrows to nothing', body: "return { verdict: 'narrow' }", detail: 'its answer is none' },
  {
    name: 'narrows to a path that can never match',
    body: "return { verdict: 'narrow', paths: ['/a/../b'] }",
    detail: 'its answer is none',
  },
  {
    name: 'narrows to methods in small letters',
    body: "return { verdict: 'narrow', methods: ['get'] }",
    detail: 'its answer is none',
  },
  {
    name: 'keeps an answer for a negative time',
    body: "return { verdict: 'pass', cacheSeconds: -1 }",
    detail: 'its answer is none',
  },
  { name: 'keeps an answer for NaN', body: "return { verdict: 'pass', cacheSeconds: NaN }", detail: 'its answer is none' },
  {
    name: 'says `pass` by a prototype that is only lent',
    body: "return Object.create({ verdict: 'deny', message: 5 })",
    detail: 'its answer is none',
  },
  { name: 'answers with a getter that throws', body: "return { get verdict() { throw new Error('trap') } }", detail: 'it threw' },
  {
    name: 'answers with a proxy that throws',
    body: "return new Proxy({}, { get() { throw new Error('trap') } })",
    detail: 'it threw',
  },
  { name: 'says `allow` without the right to', body: "return { verdict: 'allow' }", detail: '' },
  { name: 'ends the process', body: 'process.exit(0)', detail: 'its process ended before the answer' },
  { name: 'kills the process', body: "process.kill(process.pid, 'SIGKILL')", detail: 'its process ended before the answer' },
  {
    name: 'closes the pipe',
    body: "require('node:fs').closeSync(3); return { verdict: 'pass' }",
    detail: 'its process ended before the answer',
  },
  {
    name: 'answers with more than anybody reads',
    body: "return { verdict: 'narrow', paths: Array.from({ length: 100 }, (_, i) => '/' + 'x'.repeat(8000) + i) }",
    detail: 'its process ended before the answer',
  },
  {
    name: 'writes what is no message into the pipe',
    body: "require('node:fs').writeSync(3, 'nonsense\\n'); return { verdict: 'pass' }",
    detail: 'its process ended before the answer',
  },
  {
    name: 'teaches every object to be JSON in its own way',
    body: "Object.prototype.toJSON = () => ({ verdict: 'allow' }); return { verdict: 'pass' }",
    detail: 'its process ended before the answer',
  },
  {
    name: 'loops for ever',
    body: 'for (;;) {}',
    detail: 'it did not answer in time (`hooks.timeoutMs`)',
    settings: 'timeoutMs: 200',
  },
  {
    name: 'fills the heap',
    body: 'const all = []; for (;;) all.push({ n: all.length })',
    detail: 'its process ended before the answer',
    settings: 'timeoutMs: 20000, heapBytes: 33554432',
  },
  {
    name: 'fills memory beside the heap and keeps it',
    body: 'globalThis.all = []; for (;;) globalThis.all.push(Buffer.alloc(8 << 20, 1))',
    detail: 'it threw',
    settings: 'timeoutMs: 20000, heapBytes: 33554432',
  },
]

describe('a hook that', () => {
  for (const { name, body, detail, settings = '' } of FAULTS) {
    if (detail === '') continue
    it(`${name} refuses the request with \`hook_failed\`, and the next one is served`, async () => {
      lab = await HookLab.start(
        onRequest(`${PASS}${body}`).replaceAll('require(', "process.getBuiltinModule('node:module').createRequire('/')("),
        {
          settings,
        },
      )
      const refused = await lab.get('http://a.test/bad')
      expect(refused).toMatchObject({ status: 403, reason: 'hook_failed', detail })
      const { get } = { get: (url: string) => lab?.get(url) }
      await waitFor(
        async () => ((await get('http://a.test/good'))?.status === 200 ? true : undefined),
        'a request that is served',
      )
      expect(lab.origin.asked).toEqual(['GET /good'])
      const [line] = await lab.gateway.audit(1, ({ path }) => path === '/bad')
      expect(line).toMatchObject({ event: 'deny', reason: 'hook_failed', detail })
    })
  }

  it('says `allow` without the right to is not heard where the policy refuses, and refuses nothing where it lets through', async () => {
    lab = await HookLab.start(onRequest("return { verdict: 'allow' }"))
    expect(await lab.get('http://a.test/')).toMatchObject({ status: 200 })
    expect(await lab.get('http://unlisted.test/')).toMatchObject({ status: 403, reason: 'host_not_listed' })
  })

  it('says `allow` in report mode without the right to has failed', async () => {
    lab = await HookLab.start(onRequest("return { verdict: 'allow' }"), { config: 'mode: report\n' })
    expect(await lab.get('http://unlisted.test/')).toMatchObject({ status: 403, reason: 'hook_failed' })
  })

  it('forges an answer on the pipe gets no more than it may say', async () => {
    const forged = JSON.stringify({ kind: 'answer', id: 1, answer: { verdict: 'allow', hook: 'x' } })
    lab = await HookLab.start(
      onRequest(`process.getBuiltinModule('node:fs').writeSync(3, ${JSON.stringify(`${forged}\n`)}); return { verdict: 'deny' }`),
      { config: 'mode: report\n' },
    )
    expect(await lab.get('http://unlisted.test/')).toMatchObject({ status: 403, reason: 'hook_failed' })
  })

  it('never settles holds up no other request', async () => {
    lab = await HookLab.start(
      onRequest("if (request.path === '/slow') return new Promise(() => {})\nreturn { verdict: 'pass' }"),
      {
        settings: 'timeoutMs: 3000',
      },
    )
    const slow = lab.get('http://a.test/slow')
    const started = performance.now()
    for (let i = 0; i < 10; i++) expect((await lab.get('http://a.test/fast')).status).toBe(200)
    expect(performance.now() - started).toBeLessThan(2_500)
    expect(await slow).toMatchObject({ reason: 'hook_failed' })
    expect(await lab.gateway.metric('sallyport_hook_restarts_total{cause="stuck"}')).toBeUndefined()
  })

  it('loops for ever is ended by force, and its process replaced', async () => {
    lab = await HookLab.start(onRequest(`${PASS}for (;;) {}`), { settings: 'timeoutMs: 100' })
    await lab.get('http://a.test/bad')
    const { gateway } = lab
    await waitFor(
      async () => ((await gateway.metric('sallyport_hook_restarts_total{cause="stuck"}')) === 1 ? true : undefined),
      'a restart',
    )
    expect(gateway.log.some(({ msg, cause }) => msg === 'the hook process has ended and is replaced' && cause === 'stuck')).toBe(
      true,
    )
  })

  for (const [name, body] of [
    ['the heap', 'const all = []; for (;;) all.push({ n: all.length })'],
    ['buffers', 'globalThis.all = []; for (;;) globalThis.all.push(Buffer.alloc(8 << 20, 1))'],
  ] as const)
    it(`fills ${name} is ended for it, long before the machine is short of memory`, async () => {
      lab = await HookLab.start(onRequest(`${PASS}${body}`), { settings: 'timeoutMs: 20000, heapBytes: 33554432' })
      await lab.get('http://a.test/bad')
      const { gateway } = lab
      await waitFor(
        async () => ((await gateway.metric('sallyport_hook_restarts_total{cause="memory"}')) === 1 ? true : undefined),
        'a restart',
      )
    })

  it('crashes again and again is started again ever more slowly, and everything is refused at once meanwhile', async () => {
    lab = await HookLab.start(onRequest('process.exit(3)'))
    const reasons = new Set<string | undefined>()
    const { gateway } = lab
    for (let i = 0; i < 40; i++) {
      const answer = await lab.get('http://a.test/')
      expect(answer).toMatchObject({ status: 403, reason: 'hook_failed' })
      reasons.add(answer.detail)
    }
    expect(reasons).toContain('its process is being replaced')
    const pauses = gateway.log
      .filter(({ msg }) => msg === 'the hook process has ended and is replaced')
      .map(({ seconds }) => seconds)
    expect(pauses.slice(0, 2)).toEqual([0, 0.1].slice(0, pauses.length))
  })

  it('lets too many requests wait has the next ones refused at once', async () => {
    lab = await HookLab.start(onRequest('return new Promise(() => {})'), { settings: 'timeoutMs: 1500, waiting: 2' })
    const { get } = { get: (path: string) => (lab as HookLab).get(`http://a.test${path}`) }
    const answers = await Promise.all(['/1', '/2', '/3', '/4'].map(get))
    expect(answers.map(({ reason }) => reason)).toEqual(Array(4).fill('hook_failed'))
    expect(answers.filter(({ detail }) => detail?.startsWith('too many'))).toHaveLength(2)
  })

  it('writes without end to its log floods nobody else', async () => {
    lab = await HookLab.start(
      onRequest("for (let i = 0; i < 2000; i++) console.log('x'.repeat(2000))\nreturn { verdict: 'pass' }"),
    )
    expect((await lab.get('http://a.test/')).status).toBe(200)
    const said = lab.gateway.log.filter(({ msg }) => msg === 'a hook says')
    expect(said.length).toBeLessThan(30)
    for (const { text } of said) expect(String(text).length).toBeLessThanOrEqual(500)
  })

  it('throws outside of any call is told of in the log, and goes on', async () => {
    lab = await HookLab.start(
      onRequest(
        "setTimeout(() => { throw new Error('later') }, 1)\nvoid Promise.reject(new Error('unheard'))\nreturn { verdict: 'pass' }",
      ),
    )
    const { gateway } = lab
    expect((await lab.get('http://a.test/')).status).toBe(200)
    await waitFor(() => (gateway.log.some(({ text }) => String(text).includes('later')) ? true : undefined), 'the log line')
    expect((await lab.get('http://a.test/')).status).toBe(200)
    expect(await gateway.metric('sallyport_hook_processes')).toBe(1)
  })

  it('says something hostile is shown bounded and escaped, to the client and in the log', async () => {
    const message = '"}\r\nX: y <script>\u202e'.repeat(1_000)
    lab = await HookLab.start(onRequest(`return { verdict: 'deny', message: ${JSON.stringify(message)} }`))
    const { hint = '' } = await lab.get('http://a.test/')
    expect(hint).toMatch(/^the hook `hook\.ts` says: `[\x20-\x7e]+`$/)
    expect(hint.length).toBeLessThan(1_500)
    const [line] = await lab.gateway.audit(1, ({ reason }) => reason === 'denied_by_hook')
    expect(line).toMatchObject({ hook: 'hook.ts', hint })
  })
})
