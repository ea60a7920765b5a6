import { quote } from '../names/quote.ts'
import { z } from '../schema.ts'
import { type Imported, RuleCollector } from './imported.ts'

const domains = z.array(z.string()).nullish()

const serviceSchema = z.looseObject({
  name: z.string().optional(),
  project: z.string().nullish(),
  action: z.string().optional(),
  allowed_domains: domains,
  allowed_external_proxies: domains,
})

/** The egress ACL of Smokescreen, version v1. */
const aclSchema = z.looseObject({
  version: z.string().optional(),
  services: z.array(serviceSchema).nullish(),
  default: serviceSchema.nullish(),
  global_allow_list: domains,
  global_deny_list: domains,
})

const ACL_KEYS = ['services', 'default', 'global_allow_list', 'global_deny_list']

/** A rule for each service, named as it is. Who the service is becomes a client group, which takes more than its name. */
export function importSmokescreen(value: unknown): Imported {
  const collector = new RuleCollector()
  const acl = aclSchema.safeParse(value)
  const keys = typeof value === 'object' && value !== null ? Object.keys(value) : []
  if (!acl.success || !keys.some((key) => ACL_KEYS.includes(key))) {
    collector.leave('it is no egress ACL of Smokescreen: there are neither `services` nor lists in it')
    return collector.result
  }
  const { services, global_allow_list, global_deny_list } = acl.data
  if (list(global_deny_list).length > 0)
    collector.add({ name: 'global-deny-list', hosts: list(global_deny_list), action: 'deny' })
  if (list(global_allow_list).length > 0) collector.add({ name: 'global-allow-list', hosts: list(global_allow_list) })
  const all = [...(services ?? []), ...(acl.data.default ? [{ name: 'default', ...acl.data.default }] : [])]
  for (const service of all) {
    const name = service.name ?? 'service'
    const left = (text: string) => collector.leave(`${name}: ${text}`)
    if (service.action === 'open') left('`action: open` lets out every host; list those that are needed')
    if (service.action === 'report') left('`action: report` is a mode of the whole gateway or of one deny rule here')
    if (list(service.allowed_external_proxies).length > 0)
      left(`external proxies ${list(service.allowed_external_proxies).map(quote).join(', ')}`)
    const hosts = list(service.allowed_domains)
    if (hosts.length > 0) collector.add({ name, hosts, ...(service.project ? { owner: service.project.slice(0, 200) } : {}) })
  }
  if (all.length > 1) collector.leave('who each service is: here a rule is for every client, unless it names client groups')
  collector.leave('ports: a domain has none there, so rules cover 80 and 443')
  return collector.result
}

function list(values: readonly string[] | null | undefined): string[] {
  return (values ?? []).map((text) => text.trim().toLowerCase().replace(/\.$/, '')).filter((text) => text !== '')
}
