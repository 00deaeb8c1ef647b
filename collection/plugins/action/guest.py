# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible.plugins.loader import filter_loader

from ansible_collections.seguest.pv.plugins.plugin_utils.binary_module import BinaryModule

# Ansible loads this file before it forks a worker for each host. The playbooks give this module's options by this filter; without
# that, each worker would load the filter by itself, which takes as long as the rest of what it does.
filter_loader.get("seguest.pv.fleet_for")


class ActionModule(BinaryModule):
    MODULE = "guest"
