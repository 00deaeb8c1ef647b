# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible.plugins.loader import filter_loader

from ansible_collections.seguest.pv.plugins.plugin_utils.binary_module import BinaryModule

# The playbooks set this module's options with this filter. Ansible loads this file once, before it forks a worker for each host;
# otherwise each worker would load the filter again, which takes as long as the rest of its work.
filter_loader.get("seguest.pv.fleet_for")


class ActionModule(BinaryModule):
    MODULE = "guest"
