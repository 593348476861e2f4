-- needs: common
-- Whether a write would be taken now (role, memory, disk, replicas): by writing.
call('SET', P .. 'ping', text(NOW), 'EX', 60)
return 1
