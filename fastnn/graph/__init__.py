"""From symbolic layers to a flat program: trace, differentiate, fuse, plan memory."""
