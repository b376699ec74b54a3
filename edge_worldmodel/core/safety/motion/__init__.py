"""Motion that may be commanded: from the plan to the twist that passes."""
