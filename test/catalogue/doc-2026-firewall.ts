/** What the firewall article of 19 March 2026 and its includes state. See doc-2026.ts. */

import type { StatedBlock } from './doc-2026.ts'

export const FIREWALL_2026: readonly StatedBlock[] = [
  [
    'firewall',
    'General Azure hosts',
    `
public | login.microsoftonline.com | TCP | 80,443
public | management.azure.com | TCP | 443
public | management.azure.com | TCP | 443
government | login.microsoftonline.us | TCP | 80,443
government | management.azure.us | TCP | 443
government | management.usgovcloudapi.net | TCP | 443
china | login.chinacloudapi.cn | TCP | 80,443
china | management.azure.cn | TCP | 443
china | management.chinacloudapi.cn | TCP | 443
`,
  ],
  [
    'firewall',
    'Azure Machine Learning hosts',
    `
public | ml.azure.com | TCP | 443
public | *.azureml.ms | TCP | 443
public | *.azureml.net | TCP | 443
public | *.modelmanagement.azureml.net | TCP | 443
public | *.notebooks.azure.net | TCP | 443
public | <storage>.file.core.windows.net | TCP | 443,445
public | <storage>.dfs.core.windows.net | TCP | 443
public | <storage>.blob.core.windows.net | TCP | 443
public | graph.microsoft.com | TCP | 443
public | *.aznbcontent.net | TCP | 443
public | automlresources-prod.azureedge.net | TCP | 443
public | aka.ms | TCP | 443
government | ml.azure.us | TCP | 443
government | *.ml.azure.us | TCP | 443
government | *.modelmanagement.azureml.us | TCP | 443
government | *.notebooks.usgovcloudapi.net | TCP | 443
government | <storage>.file.core.usgovcloudapi.net | TCP | 443,445
government | <storage>.dfs.core.usgovcloudapi.net | TCP | 443
government | <storage>.blob.core.usgovcloudapi.net | TCP | 443
government | graph.microsoft.us | TCP | 443
government | *.aznbcontent.net | TCP | 443
china | studio.ml.azure.cn | TCP | 443
china | *.ml.azure.cn | TCP | 443
china | *.azureml.cn | TCP | 443
china | *.modelmanagement.ml.azure.cn | TCP | 443
china | *.notebooks.chinacloudapi.cn | TCP | 443
china | <storage>.file.core.chinacloudapi.cn | TCP | 443,445
china | <storage>.dfs.core.chinacloudapi.cn | TCP | 443
china | <storage>.blob.core.chinacloudapi.cn | TCP | 443
china | graph.chinacloudapi.cn | TCP | 443
china | *.aznbcontent.net | TCP | 443
`,
  ],
  [
    'firewall',
    'Compute instance and compute cluster hosts',
    `
public | graph.windows.net | TCP | 443
public | *.instances.azureml.net | TCP | 443
public | *.instances.azureml.ms | TCP | 443,8787,18881
public | <region>.tundra.azureml.ms | UDP | 5831
public | *.tundra.<region>.api.azureml.ms | UDP | 5831
public | *.<region>.batch.azure.com | ANY | 443
public | *.<region>.service.batch.azure.com | ANY | 443
public | *.blob.core.windows.net | TCP | 443
public | *.table.core.windows.net | TCP | 443
public | *.queue.core.windows.net | TCP | 443
public | <storage>.file.core.windows.net | TCP | 443,445
public | <storage>.blob.core.windows.net | TCP | 443
public | *.vault.azure.net | TCP | 443
government | graph.windows.net | TCP | 443
government | *.instances.azureml.us | TCP | 443
government | *.instances.azureml.ms | TCP | 443,8787,18881
government | <region>.tundra.azureml.us | UDP | 5831
government | *.blob.core.usgovcloudapi.net | TCP | 443
government | *.table.core.usgovcloudapi.net | TCP | 443
government | *.queue.core.usgovcloudapi.net | TCP | 443
government | <storage>.file.core.usgovcloudapi.net | TCP | 443,445
government | <storage>.blob.core.usgovcloudapi.net | TCP | 443
government | *.vault.usgovcloudapi.net | TCP | 443
china | graph.chinacloudapi.cn | TCP | 443
china | *.instances.azureml.cn | TCP | 443
china | *.instances.azureml.ms | TCP | 443,8787,18881
china | <region>.tundra.azureml.cn | UDP | 5831
china | *.blob.core.chinacloudapi.cn | TCP | 443
china | *.table.core.chinacloudapi.cn | TCP | 443
china | *.queue.core.chinacloudapi.cn | TCP | 443
china | <storage>.file.core.chinacloudapi.cn | TCP | 443,445
china | <storage>.blob.core.chinacloudapi.cn | TCP | 443
china | *.vault.azure.cn | TCP | 443
`,
  ],
  [
    'firewall',
    'Docker images maintained by Azure Machine Learning',
    `
all | mcr.microsoft.com | TCP | 443
all | *.data.mcr.microsoft.com | TCP | 443
`,
  ],
  [
    'firewall',
    'Monitoring, metrics, and diagnostics',
    `
all | dc.applicationinsights.azure.com |  | 
all | dc.applicationinsights.microsoft.com |  | 
all | dc.services.visualstudio.com |  | 
all | *.in.applicationinsights.azure.com |  | 
`,
  ],
  [
    'recommended-outbound',
    'Recommended: Python packages',
    `
all | anaconda.com |  | 
all | *.anaconda.com |  | 
all | *.anaconda.org |  | 
all | pypi.org |  | 
all | *.pythonhosted.org |  | 
all | pytorch.org |  | 
all | *.pytorch.org |  | 
all | *.tensorflow.org |  | 
`,
  ],
  [
    'firewall',
    'Scenario: Install RStudio on compute instance',
    `
all | ghcr.io | https | 443
all | pkg-containers.githubusercontent.com | https | 443
all | cloud.r-project.org |  | 
`,
  ],
  [
    'firewall',
    'Scenario: Use Kubernetes compute',
    `
all | *.kusto.windows.net |  | 443
all | *.table.core.windows.net |  | 443
all | *.queue.core.windows.net |  | 443
all | <your ACR name>.azurecr.io |  | 443
all | <your ACR name>.<region>.data.azurecr.io |  | 443
all | <your storage account name>.blob.core.windows.net |  | 443
all | <your workspace ID>.workspace.<region>.api.azureml.ms |  | 443
all | <region>.experiments.azureml.net |  | 443
all | <region>.api.azureml.ms |  | 443
all | pypi.org |  | 443
all | archive.ubuntu.com |  | 80
all | security.ubuntu.com |  | 80
all | ppa.launchpad.net |  | 80
`,
  ],
  [
    'firewall',
    'Scenario: Visual Studio Code',
    `
all | *.vscode.dev |  | 
all | *.vscode-unpkg.net |  | 
all | *.vscode-cdn.net |  | 
all | *.vscodeexperiments.azureedge.net |  | 
all | default.exp-tas.com |  | 
all | code.visualstudio.com |  | 
all | update.code.visualstudio.com |  | 
all | *.vo.msecnd.net |  | 
all | marketplace.visualstudio.com |  | 
all | vscode.blob.core.windows.net |  | 
all | *.gallerycdn.vsassets.io |  | 
all | https://github.com/microsoft/vscode-tools-for-ai/tree/master/azureml_remote_websocket_server/* |  | 
all | vscode.download.prss.microsoft.com |  | 
all | (no host stated) |  | 8704-8710
`,
  ],
  [
    'public-internet-access',
    'Include: commonly used repositories',
    `
all | anaconda.com |  | 
all | *.anaconda.com |  | 
all | *.anaconda.org |  | 
all | pypi.org |  | 
all | *.pythonhosted.org |  | 
all | cloud.r-project.org |  | 
all | *.pytorch.org |  | 
all | *.tensorflow.org |  | 
all | code.visualstudio.com |  | 
all | update.code.visualstudio.com |  | 
all | *.vo.msecnd.net |  | 
all | marketplace.visualstudio.com |  | 
all | vscode.blob.core.windows.net |  | 
all | *.gallerycdn.vsassets.io |  | 
all | raw.githubusercontent.com/microsoft/vscode-tools-for-ai/master/azureml_remote_websocket_server/* |  | 
all | mcr.microsoft.com |  | 
`,
  ],
  [
    'training',
    'Secure training environment (no public IP / public IP)',
    `
public | <region>.tundra.azureml.ms | UDP | 5831
public | graph.windows.net | TCP | 443
public | *.instances.azureml.ms | TCP | 443,8787,18881
public | *.<region>.batch.azure.com | ANY | 443
public | *.<region>.service.batch.azure.com | ANY | 443
public | *.blob.core.windows.net | TCP | 443
public | *.queue.core.windows.net | TCP | 443
public | *.table.core.windows.net | TCP | 443
`,
  ],
]
