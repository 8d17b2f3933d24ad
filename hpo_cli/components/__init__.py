"""What a network and its training are made of. Each option file in `conf/` names one of these, or a kept library's."""
