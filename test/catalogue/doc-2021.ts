/**
 * What Microsoft's article of 29 July 2021 states, row by row: the yardstick for `config/catalogue/2021-07-29`.
 *
 * One tuple for each host (or blank cell) of the document, in its order and spelling. Kept apart from the catalogue
 * so that a row lost there is missed here.
 */

export const CLOUDS = ['public', 'government', 'china'] as const
export type Cloud = (typeof CLOUDS)[number]

/** Line in the document, the column (`all` where a row is not split per cloud), the host as spelled, our remark. */
export type DocumentedHost = readonly [line: number, cloud: Cloud | 'all', host: string, note?: string]

export const DOC_2021: readonly DocumentedHost[] = [
  // application rules, "http, https"
  [132, 'all', 'graph.windows.net', 'also in the table of line 200'],
  [133, 'all', 'anaconda.com'],
  [133, 'all', '*.anaconda.com'],
  [134, 'all', '*.anaconda.org'],
  [135, 'all', 'pypi.org'],
  [135, 'all', '*.pythonhosted.org', 'named inside the purpose of pypi.org'],
  [136, 'all', 'cloud.r-project.org'],
  [137, 'all', '*pytorch.org', 'no dot after the asterisk'],
  [138, 'all', '*.tensorflow.org'],
  [139, 'all', 'update.code.visualstudio.com'],
  [139, 'all', '*.vo.msecnd.net'],
  [140, 'all', 'raw.githubusercontent.com/microsoft/vscode-tools-for-ai/master/azureml_remote_websocket_server/*', 'a path'],
  // diagnostics for support, "http, https"
  [156, 'all', 'dc.applicationinsights.azure.com'],
  [157, 'all', 'dc.applicationinsights.microsoft.com'],
  [158, 'all', 'dc.services.visualstudio.com'],
  // general Azure hosts
  [175, 'public', 'login.microsoftonline.com'],
  [175, 'government', 'login.microsoftonline.us'],
  [175, 'china', 'login.chinacloudapi.cn'],
  [176, 'public', 'management.azure.com'],
  [176, 'government', 'management.azure.us'],
  [176, 'china', 'management.azure.cn'],
  [177, 'public', 'management.azure.com'],
  [177, 'government', 'management.usgovcloudapi.net'],
  [177, 'china', 'management.chinacloudapi.cn'],
  // Azure Machine Learning hosts
  [186, 'public', 'ml.azure.com'],
  [186, 'government', 'ml.azure.us'],
  [186, 'china', 'studio.ml.azure.cn'],
  [187, 'public', '*.azureml.ms'],
  [187, 'government', '*.ml.azure.us'],
  [187, 'china', '*.ml.azure.cn'],
  [188, 'public', '*.notebooks.azure.net'],
  [188, 'government', '*.notebooks.usgovcloudapi.net'],
  [188, 'china', '*.notebooks.chinacloudapi.cn'],
  [189, 'public', '<storage>.file.core.windows.net', 'the default storage account'],
  [189, 'government', '<storage>.file.core.usgovcloudapi.net', 'the default storage account'],
  [189, 'china', '<storage>.file.core.chinacloudapi.cn', 'the default storage account'],
  [190, 'public', '<storage>.dfs.core.windows.net', 'the default storage account'],
  [190, 'government', '<storage>.dfs.core.usgovcloudapi.net', 'the default storage account'],
  [190, 'china', '<storage>.dfs.core.chinacloudapi.cn', 'the default storage account'],
  [191, 'public', '<storage>.blob.core.windows.net', 'the default storage account'],
  [191, 'government', '<storage>.blob.core.usgovcloudapi.net', 'the default storage account'],
  [191, 'china', '<storage>.blob.core.chinacloudapi.cn', 'the default storage account'],
  [192, 'public', 'graph.microsoft.com'],
  [192, 'government', 'graph.microsoft.us'],
  [192, 'china', 'graph.chinacloudapi.cn'],
  [193, 'public', '*.aznbcontent.net'],
  [193, 'government', '', 'blank cell'],
  [193, 'china', '', 'blank cell'],
  // compute instance and compute cluster hosts
  [199, 'public', '*.batchai.core.windows.net'],
  [199, 'government', '*.batchai.core.usgovcloudapi.net'],
  [199, 'china', '*.batchai.ml.azure.cn'],
  [200, 'public', 'graph.windows.net'],
  [200, 'government', 'graph.windows.net'],
  [200, 'china', 'graph.chinacloudapi.cn'],
  [201, 'public', '*.instances.azureml.net'],
  [201, 'government', '*.instances.azureml.us'],
  [201, 'china', '*.instances.azureml.cn'],
  [202, 'public', '*.instances.azureml.ms', 'TCP 18881, 443, 8787 (line 205)'],
  [202, 'government', '', 'blank cell'],
  [202, 'china', '', 'blank cell'],
  // associated resources
  [211, 'public', 'core.windows.net', 'bare suffix'],
  [211, 'government', 'core.usgovcloudapi.net', 'bare suffix'],
  [211, 'china', 'core.chinacloudapi.cn', 'bare suffix'],
  [212, 'public', 'azurecr.io', 'bare suffix'],
  [212, 'government', 'azurecr.us', 'bare suffix'],
  [212, 'china', 'azurecr.cn', 'bare suffix'],
  [213, 'public', 'mcr.microsoft.com'],
  [213, 'government', 'mcr.microsoft.com'],
  [213, 'china', 'mcr.microsoft.com'],
  [214, 'public', 'viennaglobal.azurecr.io'],
  [214, 'government', 'viennaglobal.azurecr.io'],
  [214, 'china', 'viennaglobal.azurecr.io'],
  // Python hosts, again
  [237, 'all', 'anaconda.com'],
  [237, 'all', '*.anaconda.com'],
  [238, 'all', '*.anaconda.org'],
  [239, 'all', 'pypi.org'],
  [239, 'all', '*.pythonhosted.org', 'named inside the purpose of pypi.org'],
  [240, 'all', '*pytorch.org', 'no dot after the asterisk'],
  [241, 'all', '*.tensorflow.org'],
  // R hosts, again
  [252, 'all', 'cloud.r-project.org'],
  // Visual Studio Code hosts, again
  [267, 'all', 'update.code.visualstudio.com'],
  [267, 'all', '*.vo.msecnd.net'],
  [268, 'all', 'raw.githubusercontent.com/microsoft/vscode-tools-for-ai/master/azureml_remote_websocket_server/*', 'a path'],
]
