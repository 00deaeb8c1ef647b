# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.seguest.pv.plugins.plugin_utils.guest_files import GuestFiles


class ActionModule(GuestFiles):
    MODULE = "guest_files"
