# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.seguest.pv.plugins.plugin_utils.binary_module import BinaryModule


class ActionModule(BinaryModule):
    MODULE = "attest_verify"
    BATCH = "responses"
