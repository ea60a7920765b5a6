import { type IpAddress, parseIp, unmapped } from '../core/names/ip.ts'
import { quote } from '../core/names/quote.ts'
import { describeExplanation } from '../core/policy/describe.ts'
import { type ExplainTarget, type Explanation, explain as explainTarget } from '../core/policy/explain.ts'
import { parseExplainTarget } from '../core/policy/explain-target.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type LoadedConfig, loadConfig } from '../io/config/load.ts'
import { type CommandIo, EXIT, refuseConfig, refuseUsage } from './command-io.ts'
import { explanationText } from './explanation-text.ts'
import { type GroupAsked, groupAsked } from './group-asked.ts'
import { chosenConfig } from './shipped-config.ts'

export interface ExplainOptions {
  readonly config?: string
  readonly client?: string
  readonly group?: string
  readonly user?: string
  readonly method?: string
  readonly json?: boolean
}

/** Says what the gateway would do with a request and why, without asking DNS or the gateway. */
export async function explain(target: string, options: ExplainOptions, io: CommandIo): Promise<number> {
  const question = readQuestion(target, options)
  if (!question.ok) return refuseUsage(question.error, io)
  const loaded = await loadConfig(chosenConfig(options.config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const whose = groupAsked(options, question.value.client, loaded.value)
  if (!whose.ok) return refuseUsage(whose.error, io)
  const explanation = answer(question.value, loaded.value, false, whose)
  const text = options.json
    ? `${JSON.stringify(describeExplanation(explanation), undefined, 2)}\n`
    : explanationText(explanation, question.value.target, loaded.value)
  io.stdout.write(text)
  return explanation.verdict === 'deny' ? EXIT.failed : EXIT.ok
}

export interface Question {
  readonly target: ExplainTarget
  readonly client?: IpAddress
}

function readQuestion(text: string, { client, method }: ExplainOptions): Result<Question, string> {
  if (method !== undefined && !/^[A-Z][A-Z-]*$/.test(method))
    return err(`${quote(method)} is no method; methods are written in capitals, as in \`GET\``)
  const target = parseExplainTarget(text, method)
  if (!target.ok) return err(target.error)
  if (method !== undefined && target.value.url === undefined)
    return err('a method needs a URL to go with it, as in `--method POST https://example.com/path`')
  if (client === undefined) return ok({ target: target.value })
  const address = parseIp(client)
  if (address === undefined) return err(`${quote(client)} is not an address; write it as in \`--client 10.0.0.7\``)
  return ok({ target: target.value, client: unmapped(address) })
}

/**
 * What the gateway of a config would do.
 *
 * @param withCa whether to judge as if there were a CA for every host: of a policy, and not of this machine
 * @param group whose policy it is; by itself that of the client's address
 */
export function answer(
  { target, client }: Question,
  loaded: LoadedConfig,
  withCa = false,
  group: Result<GroupAsked, string> = groupAsked({}, client, loaded),
): Explanation {
  const { config, compiled, inspection } = loaded
  if (client !== undefined && !config.clients.allow.contains(client)) return clientRefused(target, client, config.mode)
  if (!group.ok || group.value === 'unknown_client') return credentialsRequired(target, config.mode)
  const available = withCa || (inspection?.authority.permits(target.authority.host) ?? false)
  return explainTarget(group.value?.policy ?? compiled.policy, target, !group.value?.neverInspected && available)
}

/** What the listener would answer before anything is said of the host. */
function credentialsRequired({ authority, url }: ExplainTarget, mode: Explanation['mode']): Explanation {
  return {
    host: authority.host.text,
    port: authority.port,
    ...(url === undefined ? {} : { path: url.path }),
    verdict: 'deny',
    mode,
    reason: 'credentials_required',
    hint: {
      text: 'the client is in no group by its address, so it has to show credentials; ask again with `--user NAME` or `--group NAME`',
      remedy: { kind: 'none', name: 'credentials_required' },
    },
    wouldDeny: false,
  }
}

/** Settled before anything is said of the host: see `client_not_allowed`. */
function clientRefused({ authority, url }: ExplainTarget, client: IpAddress, mode: Explanation['mode']): Explanation {
  const range = `${client.text}/${client.family === 4 ? 32 : 128}`
  return {
    host: authority.host.text,
    port: authority.port,
    ...(url === undefined ? {} : { path: url.path }),
    verdict: 'deny',
    mode,
    reason: 'client_not_allowed',
    hint: {
      text: `${client.text} is in no range of \`clients.allow\`; add its subnet, or \`"${range}"\` for it alone`,
      remedy: { kind: 'none', name: 'client_not_allowed' },
    },
    wouldDeny: false,
  }
}
