"""Names of before the peers had modules of their own."""

from bridge.errors import Unreachable as Unreachable
from bridge.outside.http import allowed_origins as allowed_origins
from bridge.outside.options import OutsideSettings as OutsideSettings
from bridge.outside.reach import Outside as Outside
from bridge.outside.reach import Reach as Reach
from bridge.outside.reach import reaches as reaches
